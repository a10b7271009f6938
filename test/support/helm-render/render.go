package main

import (
	"fmt"
	"path"
	"sort"
	"strings"
	"text/template"
)

// Templates that include themselves end here.
const includeDepthMax = 1000

// The Kubernetes that .Capabilities tells of.
const kubeMajor, kubeMinor = "1", "34"

func (c *chart) render(asked request) (map[string]string, error) {
	root := template.New("chart").Option("missingkey=zero")
	root.Funcs(functions(root))
	names := make([]string, 0, len(c.templates))
	for name := range c.templates {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if _, err := root.New(c.named(name)).Parse(c.templates[name]); err != nil {
			return nil, err
		}
	}
	data := c.data(asked)
	rendered := map[string]string{}
	for _, name := range names {
		// Files that only define, by Helm's convention.
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		data["Template"] = map[string]interface{}{
			"Name":     c.named(name),
			"BasePath": c.named("templates"),
		}
		var text strings.Builder
		if err := root.ExecuteTemplate(&text, c.named(name), data); err != nil {
			return nil, err
		}
		out := strings.ReplaceAll(text.String(), "<no value>", "")
		if strings.TrimSpace(out) != "" {
			rendered[name] = out
		}
	}
	return rendered, nil
}

func (c *chart) named(template string) string {
	return fmt.Sprint(c.metadata["name"], "/", template)
}

// data is what templates call the dot.
func (c *chart) data(asked request) map[string]interface{} {
	described := map[string]interface{}{"IsRoot": true}
	for key, value := range c.metadata {
		described[strings.ToUpper(key[:1])+key[1:]] = value
	}
	if asked.Revision == 0 {
		asked.Revision = 1
	}
	return map[string]interface{}{
		"Values": merged(c.values, asked.Values),
		"Chart":  described,
		"Files":  c.files,
		"Release": map[string]interface{}{
			"Name":      asked.Release,
			"Namespace": asked.Namespace,
			"IsInstall": !asked.IsUpgrade,
			"IsUpgrade": asked.IsUpgrade,
			"Revision":  asked.Revision,
			"Service":   "Helm",
		},
		"Capabilities": capabilities{},
	}
}

type capabilities struct{}

// KubeVersion of the cluster that there is not.
func (capabilities) KubeVersion() kubeVersion { return kubeVersion{} }

// APIVersions of it.
func (capabilities) APIVersions() apiVersions { return apiVersions{} }

type kubeVersion struct{}

func (kubeVersion) Major() string      { return kubeMajor }
func (kubeVersion) Minor() string      { return kubeMinor }
func (v kubeVersion) String() string   { return v.Version() }
func (kubeVersion) Version() string    { return "v" + kubeMajor + "." + kubeMinor + ".0" }
func (kubeVersion) GitVersion() string { return kubeVersion{}.Version() }

type apiVersions struct{}

// Has only what is Kubernetes' own.
func (apiVersions) Has(version string) bool {
	return !strings.Contains(version, ".") || strings.Contains(version, ".k8s.io/")
}
