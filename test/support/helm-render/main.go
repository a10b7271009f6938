// Renders a Helm chart with what Helm itself is made of, Go's templates and sprig, where no Helm is at hand.
//
// Reads one request a line from standard input and answers each with one line, both JSON; the chart is read once.
// Knows what charts without dependencies need: the order of values, Helm's own functions, .Files, .Capabilities, hooks as
// plain files. Knows nothing of the values' schema, of a cluster, and of libraries.
//
//	go build -o helm-render . && echo '{"values":{}}' | ./helm-render CHART
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Longest line of a request.
const requestBytesMax = 4 << 20

type request struct {
	Release   string                 `json:"release"`
	Namespace string                 `json:"namespace"`
	Revision  int                    `json:"revision"`
	IsUpgrade bool                   `json:"isUpgrade"`
	Values    map[string]interface{} `json:"values"`
}

type answer struct {
	// The chart's own, with the given ones over them: what Helm holds against the schema.
	Values map[string]interface{} `json:"values"`
	// By the template's path in the chart, templates/NOTES.txt among them; what comes to nothing is left out.
	Files map[string]string `json:"files,omitempty"`
	Error string            `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: helm-render CHART < requests")
		os.Exit(2)
	}
	chart, err := readChart(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, requestBytesMax)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		var given answer
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			given.Error = err.Error()
		} else {
			given.Values = merged(chart.values, asked.Values)
			if given.Files, err = chart.render(asked); err != nil {
				given.Error = err.Error()
			}
		}
		if err := answers.Encode(given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
