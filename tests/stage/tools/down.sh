#!/bin/sh
# Ends the stage that stage-up left standing, by its own process id, and waits until it is gone.
set -eu
file=$1/stage/up.json
if [ ! -f "$file" ]; then
    echo "stage-down: no stage stands" >&2
    exit 0
fi
pid=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["pid"])' "$file")
kill -TERM "$pid" 2>/dev/null || true
for _ in $(seq 150); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
done
rm -f "$file"
echo "stage-down: ended"
