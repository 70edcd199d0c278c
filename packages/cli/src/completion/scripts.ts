/** What a shell evaluates so that it asks `trimaran __complete WORD…` for what may stand in place of the last word. */
export const COMPLETION_SCRIPTS = {
  bash: `_trimaran() {
  local IFS=$'\\n' line
  COMPREPLY=()
  _get_comp_words_by_ref -n : words cword cur 2>/dev/null || { local words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}; }
  for line in $(trimaran __complete "\${words[@]:1:cword}" 2>/dev/null); do COMPREPLY+=("$line"); done
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
}
complete -o default -F _trimaran trimaran
`,
  zsh: `#compdef trimaran
_trimaran() {
  local -a found
  found=(\${(f)"$(trimaran __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( \${#found} )); then compadd -a found; else _files; fi
}
compdef _trimaran trimaran
`,
  fish: `complete -c trimaran -a '(trimaran __complete (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
} as const;

/** A shell that has a script. */
export type Shell = keyof typeof COMPLETION_SCRIPTS;

/** Throws RangeError for any other word. */
export function parseShell(text: string): Shell {
  if (Object.hasOwn(COMPLETION_SCRIPTS, text)) return text as Shell;
  throw new RangeError(`${JSON.stringify(text)}: one of ${Object.keys(COMPLETION_SCRIPTS).join(", ")}`);
}
