# Completion of sluice for fish: sluice completion fish | source
function __sluice_words
	set -l words (commandline -opc) (commandline -ct)
	$words[1] complete-words -- $words[2..-1] 2>/dev/null
end
complete -c sluice -f -n 'test (count (__sluice_words)) -gt 0' -a '(__sluice_words)'
complete -c sluice -F -n 'test (count (__sluice_words)) -eq 0'
