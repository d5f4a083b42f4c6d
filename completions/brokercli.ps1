# PowerShell completion for brokercli; made by: brokercli completion powershell
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
