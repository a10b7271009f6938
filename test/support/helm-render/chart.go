package main

import (
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// chart is what a chart's folder holds.
type chart struct {
	metadata  map[string]interface{}
	values    map[string]interface{}
	templates map[string]string
	files     files
}

// readChart reads a folder with Chart.yaml, values.yaml and templates/.
func readChart(folder string) (*chart, error) {
	read := &chart{templates: map[string]string{}, files: files{}}
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case name == "Chart.yaml":
			return yaml.Unmarshal(content, &read.metadata)
		case name == "values.yaml":
			return yaml.Unmarshal(content, &read.values)
		case strings.HasPrefix(name, "templates/"):
			read.templates[name] = string(content)
		default:
			read.files[name] = content
		}
		return nil
	})
	return read, err
}

// files is .Files: what is neither a template nor the chart's own description.
type files map[string][]byte

func (f files) Get(name string) string      { return string(f[name]) }
func (f files) GetBytes(name string) []byte { return f[name] }

// Lines of a file, without the last line's end.
func (f files) Lines(name string) []string {
	text := strings.TrimSuffix(f.Get(name), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// merged puts given values over the chart's own: maps key by key, all else as a whole; null takes a key away.
func merged(own, given map[string]interface{}) map[string]interface{} {
	result := map[string]interface{}{}
	for key, value := range own {
		result[key] = value
		// A map of its own, so that a template that changes values changes them for itself only.
		if nested, ok := value.(map[string]interface{}); ok {
			result[key] = merged(nested, nil)
		}
	}
	for key, value := range given {
		if value == nil {
			delete(result, key)
			continue
		}
		ownMap, isOwn := result[key].(map[string]interface{})
		givenMap, isGiven := value.(map[string]interface{})
		if isGiven && !isOwn {
			ownMap = nil
		}
		if isGiven {
			result[key] = merged(ownMap, givenMap)
		} else {
			result[key] = value
		}
	}
	return result
}
