#!/usr/bin/env bash
# Three S3 servers for tests say 200 to writes whose condition does not hold, and carry them out.
#
# S3 refuses them with 412: `If-None-Match: *` where there is an object, `If-Match` where it is another, at PutObject and at
# CompleteMultipartUpload, `If-Match` at DeleteObject. s3rver 3.7.1 (npm) looks at none of these headers, gofakes3 1.2.0 (Go)
# at PutObject alone, moto 5.2.5 (PyPI) at all but `If-Match` of CompleteMultipartUpload. So a test of writers that race passes
# there, whatever the program does. (204 is what a DELETE says that was carried out.)
#
# Needs Go 1.24 or newer (an older one fetches it), Node 20 or newer with npm, Python 3.10 or newer with venv.
# Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
started=()
trap 'kill "${started[@]}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check 'moto[s3,server]==5.2.5' boto3==1.43.14
npm init --yes >npm.log
npm install --ignore-scripts --no-audit --no-fund s3rver@3.7.1 >>npm.log 2>&1
mkdir go && cd go
cat >go.mod <<'GO'
module server

go 1.24.0

require github.com/johannesboyne/gofakes3 v1.2.0
GO
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, gofakes3.New(s3mem.New()).Server()))
}
GO
export GOFLAGS=-mod=mod GOPATH="$folder/gopath"
{ go mod tidy && go build -o server .; } >go.log 2>&1 || { cat go.log; exit 1; }
cd ..
cat >s3rver.cjs <<'JS'
const S3rver = require('s3rver')
new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory: './s3rver' }).run().then(({ port }) => console.log(port))
JS
cat >moto_server.py <<'PY'
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
server._thread.join()
PY
cat >ask.py <<'PY'
import sys
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

plain = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required", retries={"max_attempts": 1})
s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{sys.argv[2]}", region_name="us-east-1",
                  aws_access_key_id="S3RVER", aws_secret_access_key="S3RVER", config=plain)
s3.create_bucket(Bucket="bucket")

def complete(**condition):
    of = {"Bucket": "bucket", "Key": "key"}
    upload = s3.create_multipart_upload(**of)["UploadId"]
    etag = s3.upload_part(**of, UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
    return s3.complete_multipart_upload(**of, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}, **condition)

def status(call):
    s3.put_object(Bucket="bucket", Key="key", Body=b"old")
    try:
        return call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]

other = '"00000000000000000000000000000000"'
print(sys.argv[1] + ":",
      "PUT if absent", status(lambda: s3.put_object(Bucket="bucket", Key="key", Body=b"new", IfNoneMatch="*")),
      "| PUT if the same", status(lambda: s3.put_object(Bucket="bucket", Key="key", Body=b"new", IfMatch=other)),
      "| complete if absent", status(lambda: complete(IfNoneMatch="*")),
      "| complete if the same", status(lambda: complete(IfMatch=other)),
      "| DELETE if the same", status(lambda: s3.delete_object(Bucket="bucket", Key="key", IfMatch=other)))
PY
start() { # name, command: the server prints its port
  local name=$1
  shift
  "$@" >"$name.port" 2>"$name.log" &
  started+=($!)
  for _ in $(seq 300); do [ -s "$name.port" ] && break; sleep 0.1; done
  python/bin/python ask.py "$name" "$(head -n 1 "$name.port")"
}
{
  start s3rver node s3rver.cjs
  start gofakes3 go/server
  start moto python/bin/python -u moto_server.py
} | tee seen
diff - seen <<'SEEN'
s3rver: PUT if absent 200 | PUT if the same 200 | complete if absent 200 | complete if the same 200 | DELETE if the same 204
gofakes3: PUT if absent 412 | PUT if the same 412 | complete if absent 200 | complete if the same 200 | DELETE if the same 204
moto: PUT if absent 412 | PUT if the same 412 | complete if absent 412 | complete if the same 200 | DELETE if the same 412
SEEN
