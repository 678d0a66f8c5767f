#!/bin/sh
# Process 1 of the engine's container: gives the container's control group to the site's user, so that boxes can have
# groups of their own, and becomes that user, who keeps no right that root had. The arguments are the engine's command.
set -eu
user=1000
group=/sys/fs/cgroup
if [ -w "$group/cgroup.procs" ]; then
  chown "$user:$user" "$group" "$group/cgroup.procs" "$group/cgroup.subtree_control" "$group/cgroup.threads"
else
  echo "$group cannot be written: control groups of version 2 and Docker 28 or newer are needed (deploy/README.md)." >&2
fi
exec setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
