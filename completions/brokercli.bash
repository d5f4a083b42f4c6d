# bash completion for brokercli; made by: brokercli completion bash
_brokercli() {
    local line first=
    COMPREPLY=()
    while IFS= read -r line; do
        if [ -z "$first" ]; then
            first=$line
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done < <(brokercli __complete bash "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    if [ "$first" = files ]; then
        compopt -o default
    elif [ "${#COMPREPLY[@]}" -eq 1 ]; then
        case ${COMPREPLY[0]} in
            *[:/=]) compopt -o nospace ;;
        esac
    fi
}
complete -F _brokercli brokercli
