#!/usr/bin/env bash
# slurm_node.sh up DIR | down DIR: a SLURM of one node on loopback, for tests; all of it is below DIR.
# Needs root and Debian's slurmctld, slurmd, slurm-client and munge. The user munge must be able to enter DIR.
# After `up`: export SLURM_CONF=DIR/slurm.conf. No accounting, no cgroups: neither is there in a container.
set -euo pipefail
usage="usage: $0 up|down DIR"
action=${1:?$usage}
dir=$(realpath -m "${2:?$usage}")
export SLURM_CONF=$dir/slurm.conf

wait_until() {  # SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { echo "$0: waited in vain for $what; see $dir" >&2; exit 1; }
        sleep 0.1
    done
}

idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }

start() {  # NAME COMMAND...: in a session of its own, so that a Ctrl-C in the tests leaves it to `down`
    setsid "${@:2}" >"$dir/$1.out" 2>&1 </dev/null &
}

up() {
    mkdir -p "$dir"/{munge,state,spool}
    head -c 1024 /dev/urandom >"$dir/munge/key"
    chmod 400 "$dir/munge/key"
    chown -R munge:munge "$dir/munge"
    chmod 755 "$dir" "$dir/munge"
    local host ports
    host=$(hostname -s)
    ports=($(python3 -c '
import socket
free = [socket.socket() for _ in range(2)]
for one in free: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in free))'))
    cat >"$SLURM_CONF" <<EOF
ClusterName=bdry
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmdPort=${ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 1024)) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=60 State=UP
EOF
    start munged runuser -u munge -- munged --foreground --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
        --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
    wait_until 10 munged test -S "$dir/munge/socket"
    start slurmctld slurmctld -D -c
    start slurmd slurmd -D
    wait_until 30 "the node" idle
}

gone() { ! kill -0 "$1"; }

stop() {  # PID
    kill "$1" 2>/dev/null || true
    wait_until 20 "the end of process $1" gone "$1"
}

down() {
    scancel --user="$(id -un)" 2>/dev/null || true
    local file
    for file in "$dir"/slurmd.pid "$dir"/slurmctld.pid "$dir"/munge/pid; do
        if [ -f "$file" ]; then stop "$(cat "$file")"; fi
    done
}

case $action in
    up | down) "$action" ;;
    *) echo "$usage" >&2; exit 2 ;;
esac
