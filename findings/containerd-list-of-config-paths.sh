#!/usr/bin/env bash
# containerd 2.4.2 reads no hosts.toml where `config_path` is a list, as its own default is, and pulls past every mirror.
#
# `[plugins."io.containerd.cri.v1.images".registry] config_path` is `/etc/containerd/certs.d:/etc/docker/certs.d` unless set. What
# 1.x and the older way of pulling in 2.x do is split it. Since 2.1 CRI pulls through the transfer service: it hands the whole text
# to `registry.WithHostDir`, which takes it for one folder; that is not there, and nothing is said. So a hosts.toml that was
# written into either folder counts for nothing. Here the same call is made with one folder and with a list.
#
# Needs Go 1.26 or newer (an older one fetches it). Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
mkdir "$folder/program" && cd "$folder/program"

cat >go.mod <<'GO'
module hosts

go 1.26.0

require github.com/containerd/containerd/v2 v2.4.2
GO
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/sirupsen/logrus"
)

const digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}

func serve(name string, asked *[]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, question *http.Request) {
		*asked = append(*asked, name)
		answer.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		answer.Header().Set("Docker-Content-Digest", digest)
		answer.Header().Set("Content-Length", "2")
		if question.Method != http.MethodHead {
			fmt.Fprint(answer, "{}")
		}
	}))
}

func main() {
	logrus.SetOutput(io.Discard)
	var asked []string
	mirror, itself := serve("the mirror", &asked), serve("the registry", &asked)
	host := strings.TrimPrefix(itself.URL, "http://")
	first, second := filepath.Join(os.Args[1], "first"), filepath.Join(os.Args[1], "second")
	hosts := fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", itself.URL, mirror.URL)
	for _, root := range []string{first, second} {
		if err := os.MkdirAll(filepath.Join(root, host), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, host, "hosts.toml"), []byte(hosts), 0o644); err != nil {
			log.Fatal(err)
		}
	}
	for _, one := range []struct{ told, path string }{{"one folder", first}, {"a list", first + ":" + second}} {
		asked = nil
		source, err := registry.NewOCIRegistry(context.Background(), host+"/app:1", registry.WithHostDir(one.path))
		if err != nil {
			log.Fatal(err)
		}
		name, descriptor, err := source.Resolve(context.Background())
		fmt.Println(one.told+":", strings.Join(asked, ", then "), "|", strings.TrimPrefix(name, host), descriptor.Digest == digest, err)
	}
}
GO
export GOFLAGS=-mod=mod GOPATH="$folder/gopath"
{ go mod tidy && go build -o hosts .; } >go.log 2>&1 || { cat go.log; exit 1; }
./hosts "$folder" | tee seen
diff - seen <<'SEEN'
one folder: the mirror | /app:1 true <nil>
a list: the registry | /app:1 true <nil>
SEEN
