#compdef boxseg
# Completion of boxseg in zsh. Once, into a folder of $fpath, before compinit:
#   boxseg completion zsh > ~/.zfunc/_boxseg
# or in ~/.zshrc, after compinit:
#   source <(boxseg completion zsh)

_boxseg() {
    local line word about
    local -a goes_on goes_on_shown ends ends_shown
    for line in "${(@f)$("${words[1]/#\~/$HOME}" completion words -- \
        "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        word="${line%%$'\t'*}" about="${line#*$'\t'}"
        if [[ $word == *[=/.,:\[] ]]; then
            goes_on+=("$word") goes_on_shown+=("$word${about:+  -- $about}")
        else
            ends+=("$word") ends_shown+=("$word${about:+  -- $about}")
        fi
    done
    compadd -S '' -l -d goes_on_shown -a goes_on
    compadd -l -d ends_shown -a ends
}

if [[ $funcstack[1] == _boxseg ]]; then
    _boxseg "$@"  # loaded from $fpath at the first Tab
else
    compdef _boxseg boxseg
fi
