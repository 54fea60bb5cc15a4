# Completion of boxseg in fish. Once:
#   boxseg completion fish > ~/.config/fish/completions/boxseg.fish

function __boxseg_words
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # In quotes: without text at the cursor, `current` has no element.
    $words[1] completion words -- $words[2..-1] "$current" 2>/dev/null
end

complete -c boxseg -f -a '(__boxseg_words)'
