# Completion of br and br-parallel for fish 3.4 and later. In ~/.config/fish/config.fish:
#   br parallel completion fish | source

function __br_parallel_complete
    set -l words (commandline -xpc 2>/dev/null; or commandline -opc)
    set -l current (commandline -ct)
    set -l beginning (string unescape -- "$current" 2>/dev/null; or string trim -l -c "'\"" -- "$current")
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l answer (_BR_COMPLETE=fish $program $words[2..-1] "$beginning" 2>/dev/null)
    set -l prefix (string match -r -- '^-[^=]*=' "$beginning"; or echo '')
    set -l rest (string replace -r -- '^-[^=]*=' '' "$beginning")
    switch "$answer[1]"
        case values
            printf '%s\n' $answer[2..-1]
        case files
            for path in (__fish_complete_path "$rest")
                printf '%s\n' "$prefix$path"
            end
        case directories
            for path in (__fish_complete_directories "$rest" '')
                printf '%s\n' "$prefix$path"
            end
        case 'command *'
            set -l first (math (string replace 'command ' '' -- $answer[1]) + 1)
            complete --do-complete (string join ' ' -- (string escape -- $words[$first..-1]) "$current")
    end
end

complete --command br --no-files --keep-order --arguments '(__br_parallel_complete)'
complete --command br-parallel --no-files --keep-order --arguments '(__br_parallel_complete)'
