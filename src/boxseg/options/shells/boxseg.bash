# Completion of boxseg in bash. Once:
#   boxseg completion bash > ~/.local/share/bash-completion/completions/boxseg
# or, without the package bash-completion, in ~/.bashrc:
#   source <(boxseg completion bash)

_boxseg() {
    local line="${COMP_LINE:0:COMP_POINT}" current before="" candidate
    local -a words
    read -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    # Assignments may stand before the command.
    while [[ ${#words[@]} -gt 1 && ${words[0]} != "$1" ]]; do words=("${words[@]:1}"); done
    current="${words[${#words[@]} - 1]}"
    # Bash completes only what follows the last = or : of a word.
    if [[ $current == *[=:]* && $COMP_WORDBREAKS == *=* ]]; then before="${current%"${current##*[=:]}"}"; fi
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        candidate="${candidate#"$before"}"
        candidate="${candidate// /\\ }"
        # After these, the word goes on.
        [[ $candidate == *[=/.,:\[] ]] || candidate+=" "
        COMPREPLY+=("$candidate")
    done < <("${1/#\~/$HOME}" completion words -- "${words[@]:1}" 2>/dev/null)
}

complete -o nospace -F _boxseg boxseg
