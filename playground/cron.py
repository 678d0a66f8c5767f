"""What happens by the clock? Read by `manage.py rqcron playground.cron`; the jobs run in the "default" queue."""

from __future__ import annotations

from functools import partial

import rq.cron
from rq import Queue, cron
from rq.serializers import JSONSerializer

from marketdata import jobs as market_data
from marketdata.uploads import send_lost_again, sweep_uploads
from runner import jobs

# RQ's scheduler makes its queues with pickle, and has no setting for it. Whoever can write to Redis could then have
# the workers run code of theirs; with JSON a job is a name and plain arguments.
rq.cron.Queue = partial(Queue, serializer=JSONSerializer)  # type: ignore[misc, assignment]

cron.register(jobs.end_lost_runs, queue_name="default", interval=15, result_ttl=60, job_timeout=120)
cron.register(market_data.sweep_fetches, queue_name="default", interval=30, result_ttl=60, job_timeout=120)
cron.register(market_data.refresh_data, queue_name="default", interval=60, result_ttl=60, job_timeout=120)
cron.register(market_data.look_after_data, queue_name="default", cron="30 3 * * *", result_ttl=60, job_timeout=1200)
cron.register(market_data.archive_data, queue_name="default", cron="30 4 * * *", result_ttl=60, job_timeout=3600)
cron.register(jobs.collect_layers, queue_name="default", interval=1800, result_ttl=60, job_timeout=600)
cron.register(jobs.expire_guest_projects, queue_name="default", interval=3600, result_ttl=60, job_timeout=600)
cron.register(send_lost_again, queue_name="default", interval=15, result_ttl=60, job_timeout=60)
cron.register(sweep_uploads, queue_name="default", interval=60, result_ttl=60, job_timeout=600)
cron.register(jobs.collect_garbage, queue_name="default", interval=24 * 3600, result_ttl=60, job_timeout=1800)
cron.register(jobs.start_templates, queue_name="default", cron="0 2 * * *", result_ttl=60, job_timeout=300)
cron.register(jobs.report_on_templates, queue_name="default", cron="0 3 * * *", result_ttl=60, job_timeout=300)
cron.register(jobs.verify_latest_runs, queue_name="default", cron="0 4 * * *", result_ttl=60, job_timeout=300)
cron.register(jobs.report_on_verified_runs, queue_name="default", cron="0 6 * * *", result_ttl=60, job_timeout=300)
