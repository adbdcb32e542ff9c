#!/usr/bin/env bash
# What is tried on a GPU when one is lent for minutes: a bare machine without network, Python 3.12 with torch, to which
# files come in pieces. docs/gpu.md says how it is used.
#
#   gpu_kit.sh pack FOLDER NAME IN WHAT...          here: WHAT, found in the folder IN, as pieces FOLDER/NAME.part*, where
#                                                   NAME ends in .tar or .tar.xz; scripts/collect_wheels.py brings wheels
#   gpu_kit.sh bring PIECE...                       there: keeps pieces for the stages
#   gpu_kit.sh a|b|c|d FOLDER [WORD...]               there: a stage; FOLDER gets its tables
#   gpu_kit.sh leave FOLDER N                       there: the N-th lot of what another machine needs to go on with c
#
# Stages: a: the tests that need CUDA, and agreement with the CPU (1 minute). b: margin estimators beside their peers (3
# minutes). c: ResNet-18 on CIFAR-10, standard and then PGD, with margins over training (8 minutes; goes on later).
# d: scale=full's networks for CIFAR-10, all seeds side by side, with margins over training of fewer images (7 minutes).
# --dry prints a stage's commands. --tiny makes it small and takes scikit-learn's digits, for trying it out with
# device=cpu. Further words are settings of c's `bdry train`. In the environment: KIT, the folder there for pieces and
# what becomes of them; PYTHON, its Python; SECONDS_A to SECONDS_D, how long a stage may take; PIECE, the size
# of a piece; ARCH and TRAININGS, c's network and which of none and pgd it trains.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
kit=${KIT:-/tmp/bdry-kit}
python=${PYTHON:-python3}
piece=${PIECE:-40M} small=15000000 lot=4
dry='' tiny='' device=cuda words=()

fail() { echo "$0: $*" >&2; exit 2; }

run() {  # COMMAND...: or, where dry, its words
    if [ -n "$dry" ]; then printf '%q ' "$@"; echo; else "$@"; fi
}

within() {  # SECONDS COMMAND...: asks it to stop then, and kills it where it does not
    run timeout --signal=TERM --kill-after=30 "$@"
}

over() { [ "$1" = 124 ] || [ "$1" = 137 ]; }  # STATUS: whether its time was over, as timeout says it

pack() {
    [ $# -ge 4 ] || fail "usage: pack FOLDER NAME IN WHAT..."
    local to=$1 name=$2 from=$3
    shift 3
    mkdir -p "$to"
    tar --create --auto-compress --file "$to/$name" --directory "$from" "$@"
    split --numeric-suffixes --suffix-length=3 --bytes=$piece "$to/$name" "$to/$name.part"
    rm "$to/$name"
    ls -s --block-size=1 "$to/$name".part*
}

bring() {
    mkdir -p "$kit/pieces"
    local one
    for one in "$@"; do
        cp "$one" "$kit/pieces/"
        one=$(basename "$one")
        rm -f "$kit/unpacked-${one%.part*}"
    done
}

unpack() {  # every archive whose pieces are there, once: wheels, states of runs, else data
    local first name to
    for first in "$kit"/pieces/*.part0 "$kit"/pieces/*.part000; do
        name=$(basename "${first%.part*}")
        if [ ! -e "$first" ] || [ -e "$kit/unpacked-$name" ]; then continue; fi
        case $name in wheels.*) to=$kit ;; state.*) to=$kit/outputs ;; *) to=$kit/data ;; esac
        mkdir -p "$to"
        cat "$kit/pieces/$name".part* | "$python" -c '
import sys, tarfile
tarfile.open(fileobj=sys.stdin.buffer, mode="r|*").extractall(sys.argv[1], filter="data")' "$to" ||
            fail "$name is not whole: a piece of it is missing in $kit/pieces"
        touch "$kit/unpacked-$name"
    done
    if ls "$kit"/wheels/*.whl >/dev/null 2>&1 && [ ! -e "$kit/site" ]; then
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --target "$kit/site.new" \
            "$kit"/wheels/*.whl
        mv "$kit/site.new" "$kit/site"
    fi
}

begin() {  # FOLDER [WORD...]
    out=${1:?"a folder for the tables is missing"}
    shift
    local word
    for word in "$@"; do
        case $word in
            --dry) dry=yes ;;
            --tiny) tiny=yes ;;
            device=*) device=${word#device=} ;;
            *=*) words+=("$word") ;;
            *) fail "$word: neither --dry, --tiny, device= nor a setting" ;;
        esac
    done
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    export PYTHONPATH=$root/src:$kit/site PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
    export BDRY_DATA=${BDRY_DATA:-$kit/data} MPLCONFIGDIR=${MPLCONFIGDIR:-$kit/matplotlib}
    cd "$root"
    [ -n "$dry" ] || unpack
}

a() {
    local status=0
    # other versions of torch and Python warn of other things, which are no errors here
    within $((${SECONDS_A:-60} / 2)) "$python" -m pytest -q -rs -W default -p no:cacheprovider tests/margins/test_devices.py -m "not slow" \
        >"$out/a-tests.txt" 2>&1 || status=$?
    cat "$out/a-tests.txt"
    within "${SECONDS_A:-60}" "$python" benchmarks/devices.py --device "$device" --to "$out/a-agreement.csv" || status=$?
    return $status
}

b() {
    local compared=(--nets digits --images 16 --norms l2) status=0
    if [ -z "$tiny" ]; then
        compared=(--nets airbench)
        # the other networks are trained on Fashion-MNIST, which is a piece of its own
        if [ -d "$BDRY_DATA/FashionMNIST" ]; then compared+=(mlp cnn robust); fi
    fi
    compared+=(--device "$device" --figures "$out")
    within "${SECONDS_B:-170}" "$python" benchmarks/margins.py "${compared[@]}" >"$out/b-log.txt" || status=$?
    if [ -n "$dry" ]; then cat "$out/b-log.txt"; fi
    # what has run by then is kept and printed
    if over $status; then echo "stage b: rows that are missing had no time"; status=0; fi
    run "$python" benchmarks/margins.py "${compared[@]}" --print >"$out/b-margins.md"
    cat "$out/b-margins.md"
    return $status
}

c() {
    local end=$((SECONDS + ${SECONDS_C:-460})) status=0 adv
    local common=(paper=mickisch2020/cifar10 scale=paper "arch=${ARCH:-resnet18}" training.epochs=30 precision=bf16 probe.margin.num_train=250
        probe.margin.num_test=250 evaluation.robust_images=100 "moments.steps=[0,100]" "moments.epochs=[1,2,3,5,8,12,20,30]")
    if [ -n "$tiny" ]; then
        common+=(dataset=digits dataset.num_train=64 dataset.num_test=20 training.epochs=1
            training.batch_size=32 dataset.pgd.linf.steps=2 evaluation.robust_images=4 evaluation.steps=2
            "moments.steps=[0]" probe.margin.num_train=4 probe.margin.num_test=4)
    fi
    for adv in ${TRAININGS:-none pgd}; do
        if [ $((end - SECONDS)) -lt 30 ]; then status=75; break; fi
        within $((end - SECONDS)) "$python" -m bdry train "${common[@]}" "adv=$adv" "device=$device" \
            "outputs=$kit/outputs" "${words[@]}" || status=$?
        if [ $status != 0 ]; then break; fi
    done
    [ -n "$dry" ] || tables
    # a run that was stopped has saved its state; of one that was killed, in a long measurement, there is the state before
    if [ $status = 75 ] || over $status; then
        echo "stage c is not at its end: bring what 'leave' gives to the next machine, and give the same command there"
        status=0
    fi
    return $status
}

d() {
    local end=$((SECONDS + ${SECONDS_D:-420})) job recipe adv seed status=0
    local common=(paper=mickisch2020/cifar10 scale=full 'probe=[margin]' probe.margin.num_train=200 probe.margin.num_test=200
        evaluation.robust_images=200 'moments.steps=[]' 'moments.epochs=[1,2,3,5,8,11]' threads=1)
    if [ -n "$tiny" ]; then
        common+=(dataset.num_train=300 dataset.num_test=40 training.epochs=2 training.batch_size=100 'arch.widths=[8,16,16]'
            dataset.pgd.linf.steps=2 evaluation.robust_images=4 'moments.epochs=[1,2]' probe.margin.num_train=10
            probe.margin.num_test=10)
    fi
    local command
    for job in fast,none,{0..5} small,pgd,{0..2}; do
        IFS=, read -r recipe adv seed <<<"$job"
        command=(within $((end - SECONDS)) "$python" -m bdry train "recipe=cifar10_$recipe" "adv=$adv" "seed=$seed" "${common[@]}"
            "device=$device" "outputs=$kit/outputs" "${words[@]}")
        # one by one they would wait for the host most of the time
        if [ -n "$dry" ]; then "${command[@]}"; else "${command[@]}" >"$out/d-$recipe-$seed.txt" 2>&1 & fi
    done
    if [ -n "$dry" ]; then return; fi
    for job in $(jobs -p); do wait "$job" || status=$?; done
    tail -n 2 "$out"/d-*-?.txt | tee "$out/d-log.txt"
    rm "$out"/d-*-?.txt
    tar --create --gzip --file "$out/d-runs.tar.gz" --exclude=checkpoints --exclude=lock --directory "$kit/outputs" runs
    if [ $status = 75 ] || over $status; then
        echo "stage d is not at its end: bring what 'leave' gives to the next machine, and give the same command there"
        status=0
    fi
    return $status
}

tables() {
    tar --create --gzip --file "$out/c-runs.tar.gz" --exclude=checkpoints --exclude=lock --directory "$kit/outputs" runs
    local found name
    for found in "$kit"/outputs/runs/*/seed=*/tables/{history,margin_summary}.csv; do
        name=${found#"$kit/outputs/runs/"}
        if [ -e "$found" ]; then cp "$found" "$out/c-${name%%/*}-$(basename "$found")"; fi
    done
}

leave() {
    local out=${1:?"a folder is missing"} number=${2:?"which lot?"} parts
    if [ "$number" = 1 ]; then
        rm -rf "$kit/lots"
        mkdir -p "$kit/lots"
        # of a run that goes on its last state alone; of a finished one no network at all
        local status leave_out=(--exclude='step=*' --exclude=lock)
        for status in "$kit"/outputs/runs/*/seed=*/status.json; do
            if grep -q '"state": "finished"' "$status"; then
                status=${status#"$kit/outputs/"}
                leave_out+=("--exclude=${status%status.json}checkpoints")
            fi
        done
        tar --create --file - "${leave_out[@]}" --directory "$kit/outputs" runs |
            split --numeric-suffixes --suffix-length=3 --bytes=$small - "$kit/lots/state.tar.part"
    fi
    mapfile -t parts < <(ls "$kit"/lots/state.tar.part*)
    mkdir -p "$out"
    [ $(((number - 1) * lot)) -lt ${#parts[@]} ] || fail "there are $(((${#parts[@]} + lot - 1) / lot)) lots"
    cp "${parts[@]:$(((number - 1) * lot)):lot}" "$out/"
    echo "lot $number of $(((${#parts[@]} + lot - 1) / lot))"
}

# read to its end before anything runs: the file may be replaced meanwhile
{
    stage=${1:-}
    case $stage in
        pack | bring | unpack | leave) shift; "$stage" "$@" ;;
        a | b | c | d) shift; begin "$@"; "$stage" ;;
        *) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
    exit
}
