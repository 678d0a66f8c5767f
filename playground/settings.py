"""Every setting of the site; every environment variable is read here, through playground.environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from urllib.parse import quote

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from playground import environment, paths

BASE_DIR = paths.BASE_DIR

# Where things are ----------------------------------------------------------------------------------------------

SITE_ENV = environment.choice("PLAYGROUND_ENV", "development", ("development", "production"))
PRODUCTION = SITE_ENV == "production"
DEBUG = environment.boolean("DEBUG", False)
if DEBUG and PRODUCTION:
    raise ImproperlyConfigured("DEBUG must be 0 when PLAYGROUND_ENV is production.")

DATA_DIR = environment.folder("DATA_DIR", BASE_DIR / ".data")
STORE_DIR = DATA_DIR / "store"
RUNS_DIR = DATA_DIR / "runs"
SANDBOX_ENV = environment.folder("SANDBOX_ENV", DATA_DIR / "sandbox-env")

RUN_DIR = paths.run_folder(DATA_DIR)
ENGINE_SOCKET = Path(environment.text("ENGINE_SOCKET") or RUN_DIR / "engine.sock")
HOST = environment.text("HOST", "127.0.0.1")
PORT = environment.whole_number("PORT", 8000, 1, 65535)
WEB_WORKERS = environment.whole_number("WEB_WORKERS", 2, 1, 64)
RUN_WORKERS = environment.whole_number("RUN_WORKERS", max(2, os.cpu_count() or 2), 1, 256)
SITE_URL = environment.url("SITE_URL", f"http://{'127.0.0.1' if HOST == '0.0.0.0' else HOST}:{PORT}", ("http", "https"))

# The embedded servers are used where no others are named.
EMBEDDED_DATABASE_URL = f"postgresql://playground@{quote(str(RUN_DIR), safe='')}:5432/playground"
EMBEDDED_REDIS_URL = f"unix://{RUN_DIR / 'redis.sock'}"
DATABASE_URL = environment.text("DATABASE_URL", EMBEDDED_DATABASE_URL)
REDIS_URL = environment.url("REDIS_URL", EMBEDDED_REDIS_URL, ("redis", "rediss", "unix"))
DATABASES = {"default": environment.database("DATABASE_URL", EMBEDDED_DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Secrets -------------------------------------------------------------------------------------------------------


def secret_key() -> str:
    """From the environment; in development made once and kept in DATA_DIR, readable by its owner only."""
    given = environment.text("SECRET_KEY")
    if PRODUCTION:
        if len(given) < 50 or len(set(given)) < 5:
            raise ImproperlyConfigured("SECRET_KEY must be set in production: 50 random characters or more.")
        return given
    if given:
        return given
    path = DATA_DIR / "secret_key"
    try:
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = secret_key()

# Django --------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.github",
    "allauth.mfa",
    "allauth.usersessions",
    "channels",
    "csp",
    "django_htmx",
    "django_rq",
    "accounts",
    "marketdata",
    "runner",
    "community",
    "playground",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "playground.urls"
ASGI_APPLICATION = "playground.asgi.application"
APPEND_SLASH = False
CSRF_FAILURE_VIEW = "django.views.csrf.csrf_failure"

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
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_timeout": 3, "socket_connect_timeout": 1},
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

# WebSockets and jobs -------------------------------------------------------------------------------------------

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # redis-py's own time-out of 5 s would end every idle socket: the layer waits that long by design.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}]},
    }
}
_RQ_QUEUE = {
    "URL": REDIS_URL,
    "DEFAULT_TIMEOUT": 600,
    "DEFAULT_RESULT_TTL": 60,
    "REDIS_CLIENT_KWARGS": {"socket_timeout": None},
    "SERIALIZER": "rq.serializers.JSONSerializer",
}
RQ_QUEUES = {"runs": dict(_RQ_QUEUE), "default": dict(_RQ_QUEUE)}
RQ = {"SHOW_ADMIN_LINK": True}

# Security ------------------------------------------------------------------------------------------------------

ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", [] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]", HOST])
if PRODUCTION and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the site's host names in production, separated by commas.")
CSRF_TRUSTED_ORIGINS = [SITE_URL]
CSRF_COOKIE_HTTPONLY = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if PRODUCTION:
    SECURE_SSL_REDIRECT = environment.boolean("SECURE_SSL_REDIRECT", True)
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = environment.whole_number("SECURE_HSTS_SECONDS", 31_536_000, 0, 10**9)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        # The editor positions its lines by style attributes; they cannot load or run anything.
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "worker-src": [SELF],
        "frame-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Logs ----------------------------------------------------------------------------------------------------------

LOG_FORMAT = environment.choice("LOG_FORMAT", "json" if PRODUCTION else "text", ("json", "text"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
        "json": {"()": "playground.logs.JsonFormatter"},
    },
    "filters": {"noise": {"()": "playground.logs.HarmlessNoise"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["noise"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django.request": {"level": "ERROR"}, "rq.worker": {"level": "WARNING"}},
}

# Accounts ------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
LOGIN_URL = "/login"
LOGIN_REDIRECT_URL = "/dashboard"
LOGOUT_REDIRECT_URL = "/"
