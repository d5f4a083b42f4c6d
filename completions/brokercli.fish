# fish completion for brokercli; made by: brokercli completion fish
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
