#!/usr/bin/env bash
# Distribution 3.1.2 answers 404 to a client that accepts any manifest.
#
# Without `Accept`, or with `*/*` or `application/*` in it, an OCI manifest that is there is MANIFEST_UNKNOWN, by tag and by
# digest, GET and HEAD: only who names the media type gets it. In RFC 9110, 12.5.1, no `Accept` and `*/*` mean any type. So
# `curl` says that an image is missing which every client pulls, and a mirror must name every type it can pass on.
#
# Needs Go 1.26 or newer (an older one fetches it). Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
mkdir "$folder/program" && cd "$folder/program"

cat >go.mod <<'GO'
module accepts

go 1.26.0

require github.com/distribution/distribution/v3 v3.1.2
GO
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
)

const imageManifest = "application/vnd.oci.image.manifest.v1+json"

func main() {
	logrus.SetOutput(io.Discard)
	settings := &configuration.Configuration{Storage: configuration.Storage{"inmemory": configuration.Parameters{}}}
	settings.HTTP.Secret = "of this test"
	server := httptest.NewServer(handlers.NewApp(context.Background(), settings))
	defer server.Close()
	ask := func(method, url, header, value string, body []byte) *http.Response {
		question, _ := http.NewRequest(method, url, bytes.NewReader(body))
		if value != "" {
			question.Header.Set(header, value)
		}
		answer, err := http.DefaultTransport.RoundTrip(question)
		if err != nil {
			log.Fatal(err)
		}
		return answer
	}
	digest := func(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

	configuration := []byte("{}")
	upload := ask("POST", server.URL+"/v2/app/blobs/uploads/", "", "", nil).Header.Get("Location")
	ask("PUT", upload+"&digest="+digest(configuration), "", "", configuration)
	manifest := []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[]}`, imageManifest, digest(configuration)))
	fmt.Println("pushed", ask("PUT", server.URL+"/v2/app/manifests/1", "Content-Type", imageManifest, manifest).StatusCode)
	for _, accept := range []string{"", "*/*", "application/*", imageManifest} {
		for _, reference := range []string{"1", digest(manifest)} {
			get := ask("GET", server.URL+"/v2/app/manifests/"+reference, "Accept", accept, nil).StatusCode
			head := ask("HEAD", server.URL+"/v2/app/manifests/"+reference, "Accept", accept, nil).StatusCode
			fmt.Printf("accept %q of %.6s: %d %d\n", accept, reference, get, head)
		}
	}
}
GO
export GOFLAGS=-mod=mod GOPATH="$folder/gopath"
{ go mod tidy && go build -o accepts .; } >go.log 2>&1 || { cat go.log; exit 1; }
./accepts | tee seen
diff - seen <<'SEEN'
pushed 201
accept "" of 1: 404 404
accept "" of sha256: 404 404
accept "*/*" of 1: 404 404
accept "*/*" of sha256: 404 404
accept "application/*" of 1: 404 404
accept "application/*" of sha256: 404 404
accept "application/vnd.oci.image.manifest.v1+json" of 1: 200 200
accept "application/vnd.oci.image.manifest.v1+json" of sha256: 200 200
SEEN
