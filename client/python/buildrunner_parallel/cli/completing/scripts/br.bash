# Completion of br and br-parallel for bash 4 and later. In ~/.bashrc:
#   eval "$(br parallel completion bash)"

_br_parallel_complete() {
    local program=${1/#\~\//$HOME/} answer kind index
    COMPREPLY=()
    mapfile -t answer < <(
        _BR_COMPLETE=bash "$program" "${COMP_LINE:0:COMP_POINT}" "${COMP_TYPE:-9}" "$COMP_WORDBREAKS" 2>/dev/null
    )
    kind=${answer[0]-}
    case $kind in
        values)
            COMPREPLY=("${answer[@]:1}")
            compopt -o nosort 2>/dev/null
            ;;
        files)
            compopt -o bashdefault -o default
            ;;
        directories)
            compopt -o dirnames
            ;;
        command*)
            for ((index = 1; index < COMP_CWORD; index++)); do
                [[ ${COMP_WORDS[index]} == -- ]] && break
            done
            if declare -F _comp_command_offset >/dev/null; then
                _comp_command_offset $((index + 1))
            elif declare -F _command_offset >/dev/null; then
                _command_offset $((index + 1))
            elif ((COMP_CWORD == index + 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$2")
            else
                compopt -o bashdefault -o default
            fi
            ;;
    esac
}

complete -F _br_parallel_complete br br-parallel
