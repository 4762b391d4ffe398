# Completion of sluice for bash: source <(sluice completion bash)
_sluice() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" complete-words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _sluice sluice
