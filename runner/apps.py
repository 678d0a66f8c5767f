from django.apps import AppConfig


class RunnerConfig(AppConfig):
    name = "runner"
    verbose_name = "Projects and runs"

    def ready(self) -> None:
        from runner import signals  # noqa: F401  (connects the receivers)
