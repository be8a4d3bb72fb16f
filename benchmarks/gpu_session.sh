#!/usr/bin/env bash
# Twelve minutes of one GPU, in parts with their own time limits; benchmarks/gpu_session.py does the work.
#
#   bash benchmarks/gpu_session.sh               all short parts, in the order below
#   bash benchmarks/gpu_session.sh two_room      some of them; `python benchmarks/gpu_session.py --list` names all
#   bash benchmarks/gpu_session.sh --rehearse    tiny sizes on a CPU: half a minute on an idle core
#
# Tables are kept in results/gpu and what is large in results/gpu_run, so that a second call goes on where the first was
# stopped; where OUT is set (the folder that a lent machine gives back) the tables are copied there at the end. LIMIT is the
# seconds of this call (default 720). A lent machine that ends a command after 600 s is called twice, with LIMIT=560 each.
#
# The machine needs torch and what the package itself imports. What is missing there travels as wheels in .whl (here:
#   python3 -m pip download --no-deps --only-binary=:all: --python-version 3.12 -d .whl gymnasium farama-notifications
# with /.whl/ in .git/info/exclude); they are installed beside the system's packages, for this call.
set -u
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
TABLES=${TABLES:-results/gpu}
RUN=${RUN:-results/gpu_run}
LIMIT=${LIMIT:-720}
BEGAN=$SECONDS

# part: seconds at most. They add up to 720 with what Two-Room gets.
declare -A MOST=([correctness]=90 [training]=210 [tokens]=90 [tabular]=60 [two_room]=720)
ORDER="correctness training tokens tabular two_room"

REHEARSE=()
CHOSEN=()
for argument in "$@"; do
    case "$argument" in
    --rehearse) REHEARSE=(--rehearse --device cpu) && TABLES=results/gpu_rehearsal/tables && RUN=results/gpu_rehearsal/run ;;
    *) CHOSEN+=("$argument") ;;
    esac
done
if [ ${#CHOSEN[@]} -eq 0 ]; then read -ra CHOSEN <<<"$ORDER"; fi

export PYTHONUNBUFFERED=1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
if ! "$PYTHON" -c "import gymnasium" 2>/dev/null && compgen -G ".whl/*.whl" >/dev/null; then
    "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target results/site .whl/*.whl
    export PYTHONPATH=$PYTHONPATH:$PWD/results/site
fi

failed=0
for part in "${CHOSEN[@]}"; do
    left=$((LIMIT - (SECONDS - BEGAN)))
    most=${MOST[$part]:-0}
    if [ "$most" -eq 0 ]; then # a long part: hours, without a limit
        "$PYTHON" benchmarks/gpu_session.py "${REHEARSE[@]}" --out "$TABLES" --run "$RUN" "$part" || failed=1
        continue
    fi
    seconds=$((left < most ? left : most))
    if [ ${#REHEARSE[@]} -gt 0 ]; then seconds=3600; fi # it says whether they work, on a machine that may be busy
    if [ "$seconds" -lt 10 ]; then
        echo "$part: no time left, call again" && failed=1
        continue
    fi
    # INT lets it end in order; rows and checkpoints are on disk anyway.
    timeout --signal=INT --kill-after=15 "$seconds" \
        "$PYTHON" benchmarks/gpu_session.py "${REHEARSE[@]}" --out "$TABLES" --run "$RUN" "$part" ||
        { echo "$part: not finished after $seconds s at most, call again" && failed=1; }
done
if [ -n "${OUT:-}" ]; then mkdir -p "$OUT" && cp "$TABLES"/*.json "$TABLES"/*.csv "$OUT"/ 2>/dev/null; fi
exit $failed
