"""How is this site set up? Every environment variable is read here, through helpers that refuse nonsense."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

from csp.constants import NONCE, NONE, SELF

from playground import environment, paths
from playground.services import Services

# Where things are

BASE_DIR = paths.BASE_DIR
DATA_DIR = paths.data_folder()  # DATA_DIR
RUN_DIR = paths.run_folder(DATA_DIR)
ENGINE_SOCKET = environment.path("ENGINE_SOCKET", RUN_DIR / "engine.sock")
# Who makes the boxes, queue by queue: "runs" is where runs go, "large" where plans may send theirs, "gpu" for GPUs
RUN_QUEUES = ("runs", "large", "gpu")
SANDBOX_BACKENDS = environment.for_each("SANDBOX_BACKEND", RUN_QUEUES, ("nsjail", "docker", "kubernetes"), "nsjail")
DOCKER_HOST = environment.text("DOCKER_HOST", "unix:///var/run/docker.sock")
SANDBOX_IMAGE = environment.text("SANDBOX_IMAGE")
SANDBOX_RUNTIME = environment.text("SANDBOX_RUNTIME")
SANDBOX_NAMESPACE = environment.text("SANDBOX_NAMESPACE", "default")
SANDBOX_CLAIM = environment.text("SANDBOX_CLAIM")
# The environment of GPU runs (PyTorch and the like); naming one makes this machine serve the queue.
GPU_SANDBOX_ENV = environment.path("GPU_SANDBOX_ENV", Path()) if environment.text("GPU_SANDBOX_ENV") else None
# Engines of this machine beside the one of "runs", which listens on ENGINE_SOCKET and serves every queue not named here
ENGINE_SOCKETS = {
    queue: RUN_DIR / f"engine-{queue}.sock"
    for queue in RUN_QUEUES
    if (queue == "gpu" and GPU_SANDBOX_ENV)
    or (queue == "large" and SANDBOX_BACKENDS["large"] != SANDBOX_BACKENDS["runs"])
}
SANDBOX_ENV = environment.path("SANDBOX_ENV", DATA_DIR / "sandbox-env")
STORE_DIR = environment.path("STORE_DIR", DATA_DIR / "store")
# Snapshots that nothing has read for so long give their files to the archive, which is smaller and slower.
ARCHIVE_DAYS = environment.whole_number("ARCHIVE_DAYS", 30, 1, 3650)
# Object storage of market data, such as s3://bucket/folder; STORE_DIR is then this machine's cache of it.
STORE_S3_URL = environment.text("STORE_S3_URL")
STORE_S3_ENDPOINT = environment.text("STORE_S3_ENDPOINT") and environment.web_address("STORE_S3_ENDPOINT", "")
STORE_S3_REGION = environment.text("STORE_S3_REGION")
STORE_S3_KEY = environment.text("STORE_S3_KEY")
STORE_S3_SECRET = environment.text("STORE_S3_SECRET")
if STORE_S3_URL and not STORE_S3_URL.startswith("s3://"):
    raise environment.refused("STORE_S3_URL", "must be like s3://bucket/folder")
# Whether the starter catalogue has the series that their package gives for education alone.
STARTER_TIER_C = environment.boolean("STARTER_TIER_C", True)
# Whose engine it is: live sessions stay on the machine that holds them, and its workers have a queue of this name.
SANDBOX_HOST = environment.text("SANDBOX_HOST", socket.gethostname())
RUNS_DIR = DATA_DIR / "runs"
MAIL_DIR = DATA_DIR / "mail"
UPLOADS_DIR = environment.path("UPLOADS_DIR", DATA_DIR / "uploads")
UPLOAD_DAYS = environment.whole_number("UPLOAD_DAYS", 30, 1, 3650)

SITE_ENV = environment.choice("PLAYGROUND_ENV", ("development", "production"), "development")
PRODUCTION = SITE_ENV == "production"
# Development shows the real pages too (hashed files, own error pages); DEBUG=1 is for working on templates.
DEBUG = environment.boolean("DEBUG")
if DEBUG and PRODUCTION:
    raise environment.refused("DEBUG", "must not be on when PLAYGROUND_ENV is production")

# Addresses

HOST = environment.text("HOST", "127.0.0.1")
PORT = environment.whole_number("PORT", 8000, 1, 65535)
WEB_WORKERS = environment.whole_number("WEB_WORKERS", 2, 1, 64)
RUN_WORKERS = environment.whole_number("RUN_WORKERS", 2, 1, 64)
FETCH_WORKERS = environment.whole_number("FETCH_WORKERS", 1, 1, 64)
_EVERYWHERE = HOST in ("0.0.0.0", "::")  # noqa: S104
_SHOWN_HOST = "127.0.0.1" if _EVERYWHERE else f"[{HOST}]" if ":" in HOST else HOST
SITE_URL = environment.web_address("SITE_URL", f"http://{_SHOWN_HOST}:{PORT}")
_SITE_HOST = SITE_URL.partition("://")[2]
_SITE_HOST = _SITE_HOST if _SITE_HOST.endswith("]") else _SITE_HOST.rpartition(":")[0] or _SITE_HOST
_OWN_NAMES = sorted({"localhost", "127.0.0.1", "[::1]", _SITE_HOST, _SHOWN_HOST, socket.gethostname()} - {""})
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS", [_SITE_HOST] if PRODUCTION else _OWN_NAMES)
if PRODUCTION and "*" in ALLOWED_HOSTS:
    raise environment.refused("ALLOWED_HOSTS", "must name the hosts, because sockets trust them as origins")
# How many reverse proxies of ours stand before the web server and append to X-Forwarded-For.
TRUSTED_PROXIES = environment.whole_number("TRUSTED_PROXIES", 0, 0, 10)
CSRF_TRUSTED_ORIGINS = [SITE_URL]

# Secrets


def _development_key(file: Path) -> str:
    """A key made once for this data folder, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    if not file.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64))
        try:
            os.link(draft, file)  # fails when another process was first; then that key counts
        except FileExistsError:
            pass
        draft.unlink()
    return file.read_text().strip()


SECRET_KEY = environment.text("SECRET_KEY")
if PRODUCTION and len(SECRET_KEY) < 50:
    raise environment.refused("SECRET_KEY", "must be set to at least 50 random characters in production")
SECRET_KEY = SECRET_KEY or _development_key(DATA_DIR / "secret_key")

# Apps

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.github",
    "allauth.mfa",
    "allauth.usersessions",
    "channels",
    "django_rq",
    "django_htmx",
    "csp",
    "accounts",
    "marketdata",
    "runner",
    "community",
    "playground",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "playground.middleware.OnlyUtf8",
    "playground.middleware.NoCookies",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "runner.middleware.DeletedMeanwhile",
]

ROOT_URLCONF = "playground.urls"
ASGI_APPLICATION = "playground.asgi.application"
CSRF_FAILURE_VIEW = "playground.views.csrf_failure"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "playground.context_processors.theme",
            ],
        },
    }
]

LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"  # without it Django sets the whole process, and every log, to Chicago

# PostgreSQL and Redis: the embedded ones unless told otherwise

SERVICES = Services(DATA_DIR)
USES_EMBEDDED_POSTGRES = not environment.text("DATABASE_URL")
USES_EMBEDDED_REDIS = not environment.text("REDIS_URL")
DATABASES = {"default": environment.database("DATABASE_URL", SERVICES.database_url)}
REDIS_URL = environment.redis_address("REDIS_URL", SERVICES.redis_url)

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_timeout": 3, "socket_connect_timeout": 1},
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # The layer waits 5 s for messages; redis-py's own 5 s limit would close every idle WebSocket.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}]},
    }
}

# Jobs: the queues of runs hold what users start, "parallel" the chunks that qfp.pmap hands to further boxes, "uploads"
# the files that people send, "fetch" what providers are asked for, "default" the scheduler's house-keeping

RQ_QUEUES = {
    name: {
        "URL": REDIS_URL,
        # Never pickle: whoever could write to Redis would have the workers run code of theirs.
        "SERIALIZER": "rq.serializers.JSONSerializer",
        "DEFAULT_TIMEOUT": timeout_seconds,
        "DEFAULT_RESULT_TTL": 600,
        "DEFAULT_FAILURE_TTL": 7 * 24 * 3600,
    }
    for name, timeout_seconds in (
        *((name, 2 * 3600) for name in (*RUN_QUEUES, f"host-{SANDBOX_HOST}", "parallel")),
        ("uploads", 300),
        ("fetch", 300),
        ("default", 1800),
    )
}
RQ = {"SHOW_ADMIN_LINK": True}

# Packages that projects ask for

PACKAGES = environment.boolean("PACKAGES", True)
LAYERS_DIR = environment.path("LAYERS_DIR", DATA_DIR / "layers")
# Without one: the index that pip and uv are set to on this machine.
PACKAGE_INDEX = environment.index_address("PACKAGE_INDEX")
PACKAGE_ALLOW = environment.package_names("PACKAGE_ALLOW")
PACKAGE_BLOCK = environment.package_names("PACKAGE_BLOCK")
PACKAGE_SDISTS = environment.boolean("PACKAGE_SDISTS", True)
PACKAGE_YOUNGEST_DAYS = environment.whole_number("PACKAGE_YOUNGEST_DAYS", 30, 0, 3650)
PACKAGE_FEWEST_RELEASES = environment.whole_number("PACKAGE_FEWEST_RELEASES", 3, 0, 1000)
# Of one layer.
PACKAGES_PER_RUN = environment.whole_number("PACKAGES_PER_RUN", 80, 1, 1000)
PACKAGE_DOWNLOAD_MB = environment.whole_number("PACKAGE_DOWNLOAD_MB", 400, 1, 100_000)
PACKAGE_UNPACKED_MB = environment.whole_number("PACKAGE_UNPACKED_MB", 1500, 1, 100_000)
PACKAGE_FILES = environment.whole_number("PACKAGE_FILES", 40_000, 1, 1_000_000)
PACKAGE_SECONDS = environment.whole_number("PACKAGE_SECONDS", 180, 5, 3600)
# Of all layers: those not used for so long go, and the longest unused when there is too much of them.
LAYERS_GB = environment.whole_number("LAYERS_GB", 10, 1, 100_000)
LAYERS_DAYS = environment.whole_number("LAYERS_DAYS", 30, 1, 3650)

# Market data of providers

# The site's keys that people's keys are encrypted with: one a line, the newest first. Made at the first use.
CREDENTIAL_KEYS_FILE = environment.path("CREDENTIAL_KEYS_FILE", DATA_DIR / "credential-keys")
# Where providers answer when it is not their own address, such as fred=https://mirror.example.org
PROVIDER_URLS = environment.addresses("PROVIDER_URLS")
# Bloomberg: a Python with its blpapi, and the session (B-PIPE or server) that the operator has a contract for
BLOOMBERG_PYTHON, BLOOMBERG_SERVER = environment.together("BLOOMBERG_PYTHON", "BLOOMBERG_SERVER")
if BLOOMBERG_SERVER and not environment.is_host_and_port(BLOOMBERG_SERVER):
    raise environment.refused("BLOOMBERG_SERVER", "must look like bpipe.example.org:8194")
BLOOMBERG_APPLICATION = environment.text("BLOOMBERG_APPLICATION")

# Static files: hashed names, served by the site itself

STATIC_URL = "/static/"
STATIC_ROOT = environment.path("STATIC_ROOT", DATA_DIR / "static")
# Only what is built, and the icons; sources stay here.
STATICFILES_DIRS = [("dist", BASE_DIR / "static" / "dist"), ("icons", BASE_DIR / "static" / "icons")]
_static_storage = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if DEBUG
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_storage},
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG

# Accounts

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.AccountBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/dashboard"
LOGOUT_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email", "username"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "username"]
ACCOUNT_PRESERVE_USERNAME_CASING = False
# Signing up signs in at once; the address is confirmed later, before anything is published. So that sign-up
# still answers alike for known and unknown addresses ("strict"), a known one gives a second account, which
# cannot confirm it.
ACCOUNT_EMAIL_VERIFICATION = "optional"
ACCOUNT_PREVENT_ENUMERATION = "strict"
ACCOUNT_CONFIRM_EMAIL_ON_GET = False  # mail scanners follow links; a person presses the button
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_EMAIL_NOTIFICATIONS = True  # a changed password or second factor is told to the owner by mail
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = SITE_URL.partition("://")[0]
ACCOUNT_RATE_LIMITS = {
    "login": "120/m/ip",  # a class behind one address
    "login_failed": "20/m/ip,5/5m/key",  # forgotten after 5 minutes: nobody is locked out for good
    "signup": "60/m/ip",
    "reset_password": "20/m/ip,5/15m/key",
}
ACCOUNT_FORMS = {
    "login": "accounts.forms.SignInForm",
    "signup": "accounts.forms.SignUpForm",
    "add_email": "accounts.forms.ChangeEmailForm",
    "change_password": "accounts.forms.ChangePasswordForm",
    "set_password": "accounts.forms.SetPasswordForm",
    "reset_password": "accounts.forms.ResetPasswordForm",
    "reset_password_from_key": "accounts.forms.NewPasswordForm",
    "reauthenticate": "accounts.forms.ConfirmPasswordForm",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Quant Finance Playground"
MFA_TOTP_TOLERANCE = 1  # phones' clocks differ by some seconds
# Nobody can keep an address from its owner by protecting an unconfirmed account (see "strict" above).
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_FORMS = {
    "authenticate": "accounts.forms.CodeForm",
    "reauthenticate": "accounts.forms.ConfirmCodeForm",
    "activate_totp": "accounts.forms.ActivateAuthenticatorForm",
}
USERSESSIONS_TRACK_ACTIVITY = False  # would write a row on every request

SOCIALACCOUNT_ADAPTER = "accounts.adapters.SocialAccountAdapter"
SOCIALACCOUNT_FORMS = {"signup": "accounts.forms.SocialSignUpForm"}
SOCIALACCOUNT_EMAIL_REQUIRED = True
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False  # an address never opens an account that it was not connected to
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
_google_id, _google_secret = environment.together("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET")
_github_id, _github_secret = environment.together("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET")
# Another server that speaks the same protocol: GitHub Enterprise, or a local one for tests.
_google_base, _github_base = (
    environment.text(name) and environment.web_address(name, "") for name in ("GOOGLE_OAUTH_BASE", "GITHUB_OAUTH_BASE")
)
SOCIALACCOUNT_PROVIDERS = {
    "google": {
        "APPS": [{"client_id": _google_id, "secret": _google_secret}] if _google_id else [],
        "SCOPE": ["profile", "email"],
        "AUTH_PARAMS": {"access_type": "online"},
        "OAUTH_PKCE_ENABLED": True,
        **(
            {
                "AUTHORIZE_URL": f"{_google_base}/o/oauth2/v2/auth",
                "ACCESS_TOKEN_URL": f"{_google_base}/token",
                "CERTS_URL": f"{_google_base}/oauth2/v1/certs",
                "IDENTITY_URL": f"{_google_base}/oauth2/v2/userinfo",
                "ID_TOKEN_ISSUER": _google_base,
            }
            if _google_base
            else {}
        ),
    },
    "github": {
        "APPS": [{"client_id": _github_id, "secret": _github_secret}] if _github_id else [],
        "SCOPE": ["read:user", "user:email"],
        "OAUTH_PKCE_ENABLED": True,
        **({"GITHUB_URL": _github_base} if _github_base else {}),
    },
}

# Mail: a server in production; the console and files in development

EMAIL_SUBJECT_PREFIX = ""
DEFAULT_FROM_EMAIL = environment.text("MAIL_FROM", f"Quant Finance Playground <no-reply@{_SITE_HOST}>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
_mail = environment.mail_server("EMAIL_URL")
if _mail is not None:
    EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    EMAIL_HOST, EMAIL_PORT = _mail.host, _mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail.username, _mail.password
    EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.tls, _mail.starttls
    EMAIL_TIMEOUT = 20
elif PRODUCTION:
    raise environment.refused("EMAIL_URL", "must be set in production, so that people can confirm their addresses")
else:
    EMAIL_BACKEND = "playground.mail.ConsoleAndFilesBackend"
    EMAIL_FILE_PATH = MAIL_DIR

# Safe by default

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
if SITE_URL.startswith("https://"):
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
if PRODUCTION:
    if not SITE_URL.startswith("https://"):
        raise environment.refused("SITE_URL", "must start with https:// in production", shown=SITE_URL)
    # 0 where the proxy redirects and speaks plain HTTP to us without saying so.
    SECURE_SSL_REDIRECT = environment.boolean("SECURE_SSL_REDIRECT", True)
    # A health probe asks the process itself, over plain HTTP.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
if TRUSTED_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Signing in elsewhere posts to us and is then redirected, which browsers count as where the form goes.
_sign_in_origins = [_google_base or "https://accounts.google.com"] * bool(_google_id)
_sign_in_origins += [_github_base or "https://github.com"] * bool(_github_id)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        # Monaco and Plotly place their elements by style attributes; attributes cannot carry a nonce.
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "frame-src": [SELF],
        "worker-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "frame-ancestors": [NONE],
        "form-action": [SELF, *_sign_in_origins],
    }
}

# Figures for a monitoring system at /metrics; without a token there is no such page
METRICS_TOKEN = environment.text("METRICS_TOKEN")
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise environment.refused("METRICS_TOKEN", "must have at least 16 characters", shown="(too short)")

# Logs: lines for people in development, one JSON object a line in production; never user source or output

LOG_LEVEL = environment.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO")
LOG_FORMAT = environment.choice("LOG_FORMAT", ("json", "lines"), "json" if PRODUCTION else "lines")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "known_noise": {"()": "playground.logs.KnownNoise"},
        "redacting": {"()": "marketdata.redaction.Redacting"},
    },
    "formatters": {
        "json": {"()": "playground.logs.JsonFormatter"},
        "lines": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["known_noise", "redacting"],
        },
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "django.server": {"handlers": ["console"], "propagate": False},
        "django.request": {"level": "ERROR"},  # a 404 is not our mistake
        "rq": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},  # would log every address, and some providers want the key in it
    },
}
