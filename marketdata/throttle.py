"""May a provider be asked right now? Calls in flight and calls within a time, counted in Redis for all workers."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import django_rq

from marketdata.providers.description import Description
from marketdata.providers.errors import QuotaExceeded, RateLimited

# Longer than any call may take: what a lost worker held is free again after that.
LEASE_SECONDS = 40
PATIENCE_SECONDS = 10.0
# A limit over an hour or more is an allowance that is used up, not a moment to wait for.
ALLOWANCE_SECONDS = 3600

# All or nothing: a call is counted only when every limit allows it. Redis's own clock, one for all machines.
# KEYS: the calls in flight, then one list of calls for each rate. ARGV: name of the call, lease in seconds, calls in
# flight, then calls and seconds of each rate. Returns {number of the limit in the way (-1 for none), seconds to wait}.
_TAKE = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return {0, '0'} end
for i = 2, #KEYS do
  local calls, seconds = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - seconds)
  if redis.call('ZCARD', KEYS[i]) >= calls then
    local oldest = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
    return {i - 1, tostring(tonumber(oldest[2]) + seconds - now)}
  end
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2])) + 1)
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], now, ARGV[1])
  redis.call('EXPIRE', KEYS[i], math.ceil(tonumber(ARGV[2 * i + 1])) + 1)
end
return {-1, '0'}
"""


@contextmanager
def call(provider: Description, scope: str, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Around one call. Waits a little for its turn; raises RateLimited or QuotaExceeded when that is not enough.

    scope: whose limits count, from scope_of().
    """
    redis = django_rq.get_connection("fetch")
    name = uuid.uuid4().hex
    rates = provider.limits.calls
    keys = [f"fetch:{scope}:flying", *(f"fetch:{scope}:{seconds:g}" for _, seconds in rates)]
    arguments = [name, LEASE_SECONDS, provider.limits.in_flight, *(value for rate in rates for value in rate)]
    take = redis.register_script(_TAKE)
    gives_up = time.monotonic() + patience_seconds
    while True:
        limit, seconds = take(keys=keys, args=arguments)
        if limit == -1:
            break
        wait = max(float(seconds), 0.05)
        if time.monotonic() + wait > gives_up:
            raise _refusal(provider, limit, wait)
        time.sleep(wait * random.uniform(1.0, 1.3))
    try:
        yield
    finally:
        redis.zrem(keys[0], name)


def scope_of(provider: Description, user_id: int | None) -> str:
    """A person has one key for a provider, so the person stands for the key."""
    return provider.name if provider.limits.per == "site" else f"{provider.name}:{user_id}"


def blocked_until(scope: str) -> datetime | None:
    """The provider has said that it refuses until then."""
    value = django_rq.get_connection("fetch").get(f"fetch:{scope}:blocked")
    return datetime.fromtimestamp(float(value), UTC) if value else None


def block(scope: str, until: datetime) -> None:
    seconds = int((until - datetime.now(UTC)).total_seconds()) + 1
    if seconds > 0:
        django_rq.get_connection("fetch").set(f"fetch:{scope}:blocked", str(until.timestamp()), ex=seconds)


def _refusal(provider: Description, limit: int, wait: float) -> RateLimited | QuotaExceeded:
    retry_at = datetime.now(UTC) + timedelta(seconds=wait)
    if limit == 0:
        return RateLimited(f"Other fetches are waiting for {provider.title}, too.", retry_at=retry_at, ours=True)
    calls, seconds = provider.limits.calls[limit - 1]
    if seconds >= ALLOWANCE_SECONDS:
        span = {3600: "hour", 24 * 3600: "day"}.get(int(seconds), f"{seconds:g} seconds")
        sentence = f"{provider.title} allows {calls} calls for every {span}, and they are used up."
        return QuotaExceeded(sentence, retry_at=retry_at, ours=True)
    sentence = f"{provider.title} allows {calls} calls in {seconds:g} s, and they are used up."
    return RateLimited(sentence, retry_at=retry_at, ours=True)
