#!/usr/bin/env bash
# msgpackr 2.1.3 (npm) writes whole numbers from 2^32 on, and below -2^31, as floats (0xcb). Readers with types refuse them.
#
# MessagePack has 64-bit integers, and @msgpack/msgpack 3.1.3 uses them for the same numbers. msgpackr's README says that
# numbers which are not whole become float64; that large whole ones do as well is not said. A time in milliseconds is such a
# number. vmihailenco/msgpack v5.4.1 (Go) does not decode it into an int64, msgspec 0.20.0 (Python) not into an int;
# msgpack 1.1.2 (Python) gives the float 1700000000000.0.
#
# Needs Node 20 or newer with npm, Go 1.21 or newer, Python 3 with venv. Exits with 1 when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

npm init --yes >npm.log
npm install --ignore-scripts --no-audit --no-fund msgpackr@2.1.3 @msgpack/msgpack@3.1.3 >>npm.log
cat >write.mjs <<'JS'
import { encode } from '@msgpack/msgpack'
import { pack } from 'msgpackr'
const hex = (bytes) => Buffer.from(bytes).toString('hex')
for (const whole of [2 ** 32 - 1, 2 ** 32, -(2 ** 31) - 1]) console.log(`${whole}: ${hex(pack(whole))} ${hex(encode(whole))}`)
console.log(hex(pack({ at: 1_700_000_000_000 })))
JS
node write.mjs | tee written
message=$(tail -n 1 written)

mkdir go && cd go
cat >go.mod <<'GO'
module reader

go 1.21

require github.com/vmihailenco/msgpack/v5 v5.4.1
GO
cat >main.go <<'GO'
package main

import (
	"encoding/hex"
	"fmt"
	"os"

	"github.com/vmihailenco/msgpack/v5"
)

func main() {
	message, _ := hex.DecodeString(os.Args[1])
	var read struct {
		At int64 `msgpack:"at"`
	}
	fmt.Println("go:", msgpack.Unmarshal(message, &read), read.At)
}
GO
GOFLAGS=-mod=mod GOPATH="$folder/gopath" go run . "$message" 2>/dev/null | tee ../read
cd ..

python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check msgpack==1.1.2 msgspec==0.20.0
python/bin/python - "$message" <<'PY' | tee -a read
import sys, msgpack, msgspec

class Message(msgspec.Struct):
    at: int

message = bytes.fromhex(sys.argv[1])
print("msgpack:", msgpack.unpackb(message))
try:
    print("msgspec:", msgspec.msgpack.decode(message, type=Message))
except msgspec.ValidationError as error:
    print("msgspec:", error)
PY

diff - written <<'SEEN'
4294967295: ceffffffff ceffffffff
4294967296: cb41f0000000000000 cf0000000100000000
-2147483649: cbc1e0000000200000 d3ffffffff7fffffff
de0001a26174cb4278bcfe56800000
SEEN
diff - read <<'SEEN'
go: msgpack: invalid code=cb decoding int64 0
msgpack: {'at': 1700000000000.0}
msgspec: Expected `int`, got `float` - at `$.at`
SEEN
