#!/usr/bin/env bash
# The registry of go-containerregistry 0.22.1 (what `crane registry serve` runs) answers 416 to ranges that are valid.
#
# It reads a range by its own pattern of two numbers. `bytes=100-` (from there to the end) and `bytes=-100` (the last hundred)
# are refused with 416, and so is a last position behind the end, which RFC 9110, 14.1.2 says is the end. containerd 2.x
# fetches layers in parallel by open-ended ranges, and clients resume a broken download by one.
#
# Needs Go 1.25 or newer (an older one fetches it). Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

cat >go.mod <<'GO'
module ranges

go 1.25.0

require github.com/google/go-containerregistry v0.22.1
GO
cat >main.go <<'GO'
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	blob := bytes.Repeat([]byte("x"), 1000)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(blob))
	started, err := http.Post(server.URL+"/v2/app/blobs/uploads/?digest="+digest, "application/octet-stream", bytes.NewReader(blob))
	if err != nil || started.StatusCode != http.StatusCreated {
		log.Fatal(err, started)
	}
	for _, wanted := range []string{"bytes=100-199", "bytes=100-", "bytes=-100", "bytes=900-1999"} {
		question, _ := http.NewRequest("GET", server.URL+"/v2/app/blobs/"+digest, nil)
		question.Header.Set("Range", wanted)
		answer, err := http.DefaultClient.Do(question)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(wanted, answer.StatusCode, answer.Header.Get("Content-Range"))
	}
}
GO
GOFLAGS=-mod=mod GOPATH="$folder/gopath" go run . 2>go.log | tee seen || { cat go.log; exit 1; }
diff - seen <<'SEEN'
bytes=100-199 206 bytes 100-199/1000
bytes=100- 416 
bytes=-100 416 
bytes=900-1999 416 
SEEN
