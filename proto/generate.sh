#!/bin/sh
# Regenerates the Go code of every .proto file here. Needs protoc (Debian's
# protobuf-compiler); the two plugins are built at the versions go.mod and this
# file name.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin GOFLAGS=-mod=mod go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
GOBIN=$bin GOFLAGS=-mod=mod go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
PATH=$bin:$PATH protoc --go_out=. --go_opt=paths=source_relative \
	--go-grpc_out=. --go-grpc_opt=paths=source_relative \
	ampsi/v1/ampsi.proto ampsi/v1/body/body.proto overlap/v1/evidence.proto
# protoc's own version is the machine's, and not part of what is generated.
sed -i '/^\/\/ [-\t ]*protoc  *v[0-9.]*$/d' ampsi/v1/*.pb.go ampsi/v1/body/*.pb.go overlap/v1/*.pb.go
