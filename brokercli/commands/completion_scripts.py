"""What each shell is told: call `brokercli __complete` with the line up to the cursor, and offer what it prints.

The program prints `words` or `files`, then one candidate a line, a tab and its explanation behind it. All quoting is done
by the shell or for it: names come from brokers, and a topic called `$(reboot)` is only ever text.
"""

from __future__ import annotations

BASH = r"""# bash completion for brokercli; made by: brokercli completion bash
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
"""

ZSH = r"""#compdef brokercli
# zsh completion for brokercli; made by: brokercli completion zsh
_brokercli() {
    local -a answer words_plain words_open explained_plain explained_open
    local line value
    answer=("${(@f)$(brokercli __complete zsh "${(j: :)words[1,CURRENT-1]} $QIPREFIX$IPREFIX$PREFIX" 2>/dev/null)}")
    if [[ $answer[1] == files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P 1 '*='
        _files
        return
    fi
    for line in "${(@)answer[2,-1]}"; do
        value=${line%%$'\t'*}
        if [[ $value == *[:/=] ]]; then
            words_open+=("$value")
            explained_open+=("${${line/$'\t'/  -- }[1,COLUMNS-1]}")
        else
            words_plain+=("$value")
            explained_plain+=("${${line/$'\t'/  -- }[1,COLUMNS-1]}")
        fi
    done
    (( $#words_plain )) && compadd -l -d explained_plain -a words_plain
    (( $#words_open )) && compadd -l -S '' -d explained_open -a words_open
}
if [[ $funcstack[1] == _brokercli ]]; then
    _brokercli "$@"
else
    compdef _brokercli brokercli
fi
"""

FISH = r"""# fish completion for brokercli; made by: brokercli completion fish
function __brokercli_complete
    set -l answer (brokercli __complete fish (commandline -cp | string collect) 2>/dev/null)
    if test "$answer[1]" = files
        set -l typed (commandline -ct)
        set -l option (string match -r -- '^--[^=]+=' $typed)
        for path in (__fish_complete_path (string replace -- "$option" '' $typed))
            echo "$option$path"
        end
    else
        for line in $answer[2..-1]
            echo $line
        end
    end
end
complete -c brokercli -f -a '(__brokercli_complete)'
"""

POWERSHELL = r"""# PowerShell completion for brokercli; made by: brokercli completion powershell
Register-ArgumentCompleter -Native -CommandName brokercli -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $line = $commandAst.ToString().PadRight($cursorPosition - $commandAst.Extent.StartOffset)
    $line = $line.Substring(0, $cursorPosition - $commandAst.Extent.StartOffset)
    $answer = @(brokercli __complete powershell $line 2>$null)
    if ($answer.Count -gt 1 -and $answer[0] -eq 'words') {
        $answer[1..($answer.Count - 1)] | ForEach-Object {
            $parts = $_ -split "`t", 2
            $text = $parts[0]
            # a bare @ would be an array that is spread out; behind a closing quote nothing could be typed on
            if ($text -match '^@[A-Za-z0-9._:/=+-]+$') { $text = '`' + $text }
            elseif ($text -notmatch '^[A-Za-z0-9._:/=+-]+$') { $text = "'" + $text.Replace("'", "''") + "'" }
            $help = if ($parts.Count -gt 1 -and $parts[1]) { $parts[1] } else { $parts[0] }
            [System.Management.Automation.CompletionResult]::new($text, $parts[0], 'ParameterValue', $help)
        }
    }
}
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH, "powershell": POWERSHELL}
FILES = {"bash": "brokercli.bash", "zsh": "_brokercli", "fish": "brokercli.fish", "powershell": "brokercli.ps1"}
"""Under `completions/`, by the names that package builders expect."""
