#!/bin/bash
# Stop what start.sh started, by its own pid files, and take its configuration away: a configured Slurm that does not
# run slows every start of Snakemake by seconds.
base=${1:?usage: stop.sh FOLDER}
scancel --user root
sleep 1
for file in "$base"/run/*.pid; do
  [ -s "$file" ] || continue
  process=$(cat "$file")
  kill "$process" 2>/dev/null
  for _ in $(seq 60); do kill -0 "$process" 2>/dev/null || break; sleep 0.25; done
done
rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
