"""What happens by the clock? Read by `manage.py rqcron playground.cron`; the jobs run in the "default" queue."""

from __future__ import annotations

from rq import cron

from runner import jobs

cron.register(jobs.sweep_runs, queue_name="default", interval=15, result_ttl=60, job_timeout=120)
cron.register(jobs.expire_guest_projects, queue_name="default", interval=3600, result_ttl=60, job_timeout=600)
