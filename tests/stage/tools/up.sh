#!/bin/sh
# Leaves a stage standing, and prints the environment that points the AWS CLI and `cargo lambda invoke --remote` at it.
set -eu
target=$1
file=$target/stage/up.json
log=$target/stage/up.log
mkdir -p "$target/stage"
if [ -f "$file" ]; then
    pid=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["pid"])' "$file")
    if kill -0 "$pid" 2>/dev/null; then
        echo "stage-up: a stage stands already (process $pid); make stage-down ends it" >&2
        exit 1
    fi
    rm -f "$file"
fi
nohup "$target/debug/stage" serve --file "$file" >"$log" 2>&1 </dev/null &
pid=$!
while [ ! -f "$file" ]; do
    if ! kill -0 "$pid" 2>/dev/null; then
        cat "$log" >&2
        echo "stage-up: the stage did not come up" >&2
        exit 1
    fi
    sleep 0.2
done
cat "$log"
python3 - "$file" <<'PRINT'
import json, shlex, sys
up = json.load(open(sys.argv[1]))
print("\nThe stage stands. To point the AWS CLI and cargo lambda at it:\n")
for name, value in sorted(up["environment"].items()):
    print(f"  export {name}={shlex.quote(value)}")
print("\nThen, for example:\n")
print(f"  target/venv/bin/cargo-lambda lambda invoke --remote {up['function']} --data-file events/operator-status.json")
print("\nmake stage-down ends it.")
PRINT
