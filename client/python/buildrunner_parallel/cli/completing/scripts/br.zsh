#compdef br br-parallel
# Completion of br and br-parallel for zsh. In ~/.zshrc:
#   eval "$(br parallel completion zsh)"

_br_parallel_complete() {
    local program=${words[1]/#\~\//$HOME/} line kind
    local -a answer candidates shown
    answer=("${(@f)$(_BR_COMPLETE=zsh "$program" "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=$answer[1]
    case $kind in
        values)
            for line in "${(@)answer[2,-1]}"; do
                candidates+=("${line%%$'\t'*}")
                shown+=("${line#*$'\t'}")
            done
            (( $#candidates )) && compadd -l -V br-parallel -d shown -a candidates
            ;;
        files)
            [[ $PREFIX == -*=* ]] && compset -P '*='
            _files
            ;;
        directories)
            [[ $PREFIX == -*=* ]] && compset -P '*='
            _files -/
            ;;
        command*)
            shift ${kind#command } words
            (( CURRENT -= ${kind#command } ))
            _normal
            ;;
    esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # Found in $fpath under the name of the program.
    _br_parallel_complete "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
    compdef _br_parallel_complete br br-parallel
fi
