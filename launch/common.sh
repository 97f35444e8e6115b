# shellcheck shell=bash
# Sourced by the scripts that start runs elsewhere or in several processes: flags, errors, dry runs,
# and words that survive a shell. Source venv.sh before it.

dry_run=''
rest=()

# fail TEXT...: wrong use.
fail() {
  say "$@"
  exit 2
}

# parse "FLAGS WITH A VALUE" "SWITCHES" ARGUMENT...: --tasks-per-node 4, or with =, sets the variable
# tasks_per_node; a switch is set to yes; `rest` gets what follows --. What a dry run prints goes to
# descriptor 3, the output as it is now, also where a command's own output is caught.
parse() {
  local valued=" $1 " switches=" $2 " flag
  shift 2
  while (($#)); do
    case $1 in
      -h | --help)
        usage
        exit
        ;;
      --)
        shift
        rest=("$@")
        break
        ;;
      --*=*)
        set -- "${1%%=*}" "${1#*=}" "${@:2}"
        ;;
    esac
    flag=${1#--}
    if [[ $1 == --* && $valued == *" $flag "* ]]; then
      (($# > 1)) || fail "$1 wants a value"
      printf -v "${flag//-/_}" %s "$2"
      shift 2
    elif [[ $1 == --* && $switches == *" $flag "* ]]; then
      printf -v "${flag//-/_}" yes
      shift
    else
      fail "does not know $1; --help says what it does. main's flags come after --"
    fi
  done
  if [[ -n $dry_run ]]; then exec 3>&1; fi
}

# whole FLAG VALUE: the value must be a whole number, 1 or more.
whole() { [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || fail "--$1 is ${2:-empty}, and must be a whole number from 1"; }

# given FLAG VALUE: the value must be there.
given() { [[ -n $2 ]] || fail "needs --$1; --help says what it is"; }

# named FLAG VALUE: the value must be a name as clouds take them.
named() {
  [[ $2 =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
    fail "--$1 is ${2:-empty}, and must be a name of small letters, digits and -, 40 at most"
}

# main_flags: whether there are any for main.
main_flags() { ((${#rest[@]})) || fail "nothing to run: main's flags come after --, as in -- --config configs/kd_sst2.py"; }

# needs PROGRAM: unless this is a dry run, the program must be installed.
needs() {
  [[ -n $dry_run ]] || command -v "$1" >/dev/null || fail "$1 is not installed here, or not on the PATH"
}

# quoted WORD...: the words in one line, as a shell reads them back.
quoted() {
  local word line='' apostrophe="'" escaped="'\\''" plain='^[A-Za-z0-9_./:=,@%+-]+$'
  for word in "$@"; do
    [[ $word =~ $plain ]] || word="'${word//$apostrophe/$escaped}'"
    line+=" $word"
  done
  printf '%s\n' "${line# }"
}

# perform WORD...: runs a command; a dry run prints it.
perform() { if [[ -n $dry_run ]]; then quoted "$@" >&3; else "$@"; fi; }

# ask ANSWER WORD...: what a command prints; a dry run prints the command and takes the answer.
ask() {
  if [[ -n $dry_run ]]; then
    quoted "${@:2}" >&3
    printf '%s\n' "$1"
  else
    "${@:2}"
  fi
}
