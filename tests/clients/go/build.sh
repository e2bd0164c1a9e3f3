#!/usr/bin/env bash
# Builds the client program as $1. A Go that is older than what go.mod asks for (Debian 12 has 1.19) is only used to get one
# that is not, from the module proxy as newer ones do by themselves.
set -euo pipefail
out=$1
cd "$(dirname "$0")"
wanted=$(sed -n 's/^go //p' go.mod)
has=$(go env GOVERSION)
if [[ "$(printf '%s\n' "${has#go}" "$wanted" | sort --version-sort | head -n 1)" != "$wanted" ]]; then
	toolchain="golang.org/toolchain@v0.0.1-go$wanted.$(go env GOOS)-$(go env GOARCH)"
	root=$(cd / && go mod download -json "$toolchain" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
	# A module has no programs; these are some.
	chmod -R u+w "$root"
	chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
	export GOROOT=$root PATH=$root/bin:$PATH
fi
go build -o "$out" .
