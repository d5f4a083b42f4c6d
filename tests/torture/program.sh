#!/bin/sh
# The program of `--through` in the torture: mends what begins with the needle; of the rest it fails, dies half-way, or fails half-way.
kept=$(mktemp)
cat >"$kept"
size=$(wc -c <"$kept")
if head -c 16 "$kept" | grep -q '^needle in a body'; then
    printf 'mended: '
    cat "$kept"
    rm "$kept"
    exit 0
fi
rm "$kept"
case $((size % 3)) in
0) exit 3 ;;
1) printf 'half of it'; kill -KILL $$ ;;
2) printf 'half of it'; exit 1 ;;
esac
