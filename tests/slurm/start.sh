#!/bin/bash
# Start a real Slurm on this machine alone, without systemd, as root: munged, slurmctld, and NODES slurmd's of two GPUs.
# It installs Debian's packages where they are missing and writes /etc/slurm: for a machine that is thrown away.
set -eu
base=${1:?usage: start.sh FOLDER [NODES]}
nodes=${2:-1}
export PATH=$PATH:/usr/sbin:/sbin
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v munged >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi
mkdir -p "$base"/{etc,run,state,log,dev} /etc/slurm /run/munge
chown munge:munge /run/munge
chmod 755 /run/munge
[ -f /etc/munge/munge.key ] || { head -c 1024 /dev/urandom > /etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
munge -n >/dev/null 2>&1 || runuser -u munge -- munged

# Slurm's GPUs must be character devices; these are as /dev/null.
: > "$base/etc/gres.conf"
for node in $(seq "$nodes"); do
  for gpu in 0 1; do [ -c "$base/dev/n${node}gpu$gpu" ] || mknod "$base/dev/n${node}gpu$gpu" c 1 3; done
  echo "NodeName=n$node Name=gpu Type=test File=$base/dev/n${node}gpu[0-1]" >> "$base/etc/gres.conf"
done
host=$(hostname -s)
cat > "$base/etc/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
SlurmctldPidFile=$base/run/slurmctld.pid
SlurmctldLogFile=$base/log/slurmctld.log
StateSaveLocation=$base/state
SlurmdPidFile=$base/run/slurmd.%n.pid
SlurmdSpoolDir=$base/run/spool.%n
SlurmdLogFile=$base/log/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SchedulerParameters=bf_interval=2,sched_interval=5
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=5
SlurmdTimeout=30
InactiveLimit=0
MailProg=/bin/true
CONF
for node in $(seq "$nodes"); do
  echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((17000 + node)) CPUs=8 RealMemory=64000 Gres=gpu:test:2"
done >> "$base/etc/slurm.conf"
echo "PartitionName=main Nodes=$([ "$nodes" -gt 1 ] && echo "n[1-$nodes]" || echo n1) Default=YES MaxTime=INFINITE State=UP" >> "$base/etc/slurm.conf"
# At the default place: the Snakemake plugin takes SLURM_CONF from its jobs.
ln -sfn "$base/etc/slurm.conf" "$base/etc/gres.conf" /etc/slurm/
unset SLURM_CONF
slurmctld
for node in $(seq "$nodes"); do slurmd -N "n$node"; done
for _ in $(seq 120); do
  [ "$(sinfo -h -N -o %t 2>/dev/null | grep -c idle)" = "$nodes" ] && exit 0
  sleep 0.25
done
sinfo -N
tail -n 5 "$base"/log/*.log
exit 1
