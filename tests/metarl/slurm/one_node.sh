#!/bin/bash
# A Slurm cluster of one node on this machine, for tests of `metarl submit`; as root on Debian:
#
#     apt-get install -y slurm-wlm munge
#     bash tests/metarl/slurm/one_node.sh start /tmp/slurm && export SLURM_CONF=/tmp/slurm/slurm.conf
#     bash tests/metarl/slurm/one_node.sh stop /tmp/slurm
#
# Partition `high` preempts `low`, whose jobs are requeued. No accounting, no cgroups.
set -e
folder=$2 host=$(hostname -s)
case $1 in
start)
    mkdir -p "$folder"/{state,spool,log} /run/munge
    chown munge: /run/munge
    cat > "$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host
AuthType=auth/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=15
ReturnToService=2
NodeName=$host CPUs=${CPUS:-8} State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
    export SLURM_CONF=$folder/slurm.conf
    munge -n > /dev/null 2>&1 || runuser -u munge -- munged
    slurmctld -c -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF"
    for _ in $(seq 50); do sinfo --noheader --format=%T | grep -q idle && exit 0; sleep 0.2; done
    sinfo
    exit 1
    ;;
stop)
    kill "$(cat "$folder/slurmd.pid")" "$(cat "$folder/slurmctld.pid")"
    [ ! -f /run/munge/munged.pid ] || kill "$(cat /run/munge/munged.pid)"
    ;;
*)
    sed -n '2,8p' "$0"
    exit 2
    ;;
esac
