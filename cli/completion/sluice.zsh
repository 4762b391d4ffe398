#compdef sluice
# Completion of sluice for zsh: source <(sluice completion zsh), behind compinit
_sluice() {
	local -a found
	found=(${(f)"$("${words[1]}" complete-words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
	if (( ${#found} )); then
		compadd -a found
	else
		_files
	fi
}
compdef _sluice sluice
