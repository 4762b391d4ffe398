package k6run

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dop251/goja"
	"github.com/evanw/esbuild/pkg/api"
)

// moduleNames has what the modules export by name.
var moduleNames = map[string][]string{
	"k6":           {"check", "sleep"},
	"k6/crypto":    {"hmac"},
	"k6/data":      {"SharedArray"},
	"k6/encoding":  {"b64decode", "b64encode"},
	"k6/execution": {"scenario"},
	"k6/http":      {"batch", "expectedStatuses", "request", "setResponseCallback"},
	"k6/metrics":   {"Counter", "Rate", "Trend"},
}

// moduleSpace is esbuild's name for files that come from here.
const moduleSpace = "k6"

// bundle makes one program of a script and the files that it imports.
func bundle(script string) (*goja.Program, error) {
	path, err := filepath.Abs(script)
	if err != nil {
		return nil, err
	}
	built := api.Build(api.BuildOptions{
		EntryPoints: []string{path}, Bundle: true, Format: api.FormatCommonJS, Platform: api.PlatformNeutral, Target: api.ESNext,
		Sourcemap: api.SourceMapInline, LogLevel: api.LogLevelSilent, Plugins: []api.Plugin{{Name: "k6", Setup: resolve}},
	})
	if len(built.Errors) > 0 {
		var faults []error
		for _, m := range built.Errors {
			at := ""
			if m.Location != nil {
				at = fmt.Sprintf("%s:%d: ", m.Location.File, m.Location.Line)
			}
			faults = append(faults, errors.New(at+m.Text))
		}
		return nil, fmt.Errorf("read %s: %w", script, errors.Join(faults...))
	}
	return goja.Compile(path, string(built.OutputFiles[0].Contents), true)
}

// resolve finds imports as k6 does: its modules by their names, files by a path with its extension.
func resolve(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
		local := strings.HasPrefix(a.Path, "./") || strings.HasPrefix(a.Path, "../")
		switch {
		case a.Kind == api.ResolveEntryPoint:
			return api.OnResolveResult{}, nil
		case moduleNames[a.Path] != nil:
			return api.OnResolveResult{Path: a.Path, Namespace: moduleSpace}, nil
		case local && slices.Contains([]string{".ts", ".js"}, filepath.Ext(a.Path)):
			return api.OnResolveResult{}, nil
		case local:
			return api.OnResolveResult{}, fmt.Errorf("import %q: k6 wants the name of the file with its extension", a.Path)
		}
		return api.OnResolveResult{}, fmt.Errorf("import %q: this stand-in for k6 does not have it", a.Path)
	})
	b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: moduleSpace}, func(a api.OnLoadArgs) (api.OnLoadResult, error) {
		var text strings.Builder
		fmt.Fprintf(&text, "const m = __k6(%q);\nexport default m;\n", a.Path)
		for _, name := range moduleNames[a.Path] {
			fmt.Fprintf(&text, "export const %s = m.%[1]s;\n", name)
		}
		contents := text.String()
		return api.OnLoadResult{Contents: &contents, Loader: api.LoaderJS}, nil
	})
}
