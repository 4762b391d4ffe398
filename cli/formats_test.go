package cli

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// printsGo reports whether values of a type are printed in Go's own notation: [a b], map[a:b], {a b}. Operators do not
// read Go.
func printsGo(t types.Type) bool {
	for _, method := range []string{"Error", "String", "Format"} {
		if m, _, _ := types.LookupFieldOrMethod(t, true, nil, method); m != nil {
			if _, is := m.(*types.Func); is {
				return false
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		_, isStruct := u.Elem().Underlying().(*types.Struct)
		return isStruct
	case *types.Slice, *types.Array, *types.Map, *types.Struct:
		return true
	}
	return false
}

// verbs finds the verbs of a format that has no widths from arguments, and no explicit indexes.
var verbs = regexp.MustCompile(`%[-+# 0]*[0-9]*(?:\.[0-9]+)?([a-zA-Z%])`)

// shows are functions that show their arguments without a format: of those of type any, each one.
var shows = map[string]bool{
	"fmt.Sprint": true, "fmt.Sprintln": true, "fmt.Print": true, "fmt.Println": true, "fmt.Fprint": true, "fmt.Fprintln": true,
	"sluice/core/config.Faults.Add": true, "sluice/cli/command.table.row": true,
	"log/slog.Logger.Debug": true, "log/slog.Logger.Info": true, "log/slog.Logger.Warn": true, "log/slog.Logger.Error": true,
	"log/slog.Logger.InfoContext": true, "log/slog.Logger.WarnContext": true, "log/slog.Logger.ErrorContext": true,
}

// nameOf returns the name by which shows lists a function.
func nameOf(info *types.Info, fun ast.Expr) string {
	selector, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	f, ok := info.Uses[selector.Sel].(*types.Func)
	if !ok || f.Pkg() == nil {
		return ""
	}
	if receiver := f.Signature().Recv(); receiver != nil {
		return strings.TrimPrefix(receiver.Type().String(), "*") + "." + f.Name()
	}
	return f.Pkg().Path() + "." + f.Name()
}

// badFormats are the arguments in a file that are shown as Go writes them.
func badFormats(info *types.Info, fset *token.FileSet, file *ast.File) (bad []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Ellipsis.IsValid() {
			return true
		}
		signature, ok := info.TypeOf(call.Fun).(*types.Signature)
		if !ok {
			return true
		}
		report := func(how string, argument ast.Expr) {
			bad = append(bad, fmt.Sprintf("%v: %s of %v", fset.Position(argument.Pos()), how, info.TypeOf(argument)))
		}
		if name := nameOf(info, call.Fun); shows[name] {
			for i, argument := range call.Args {
				if toWriter := i == 0 && strings.HasPrefix(name, "fmt.F"); !toWriter && printsGo(info.TypeOf(argument)) {
					report(name, argument)
				}
			}
		}
		if !signature.Variadic() || signature.Params().Len() < 2 {
			return true
		}
		first := signature.Params().Len() - 1 // of the arguments of the format
		if signature.Params().At(first).Type().String() != "[]any" || len(call.Args) < first {
			return true
		}
		format := info.Types[call.Args[first-1]].Value
		if format == nil || format.Kind() != constant.String {
			return true
		}
		i := first
		for _, verb := range verbs.FindAllStringSubmatch(constant.StringVal(format), -1) {
			if verb[1] == "%" {
				continue
			}
			if i >= len(call.Args) {
				break // no format, though a text before arguments
			}
			if of := info.TypeOf(call.Args[i]); slices.Contains([]string{"v", "d", "s"}, verb[1]) && printsGo(of) && (verb[1] != "s" || of.Underlying().String() != "[]byte") {
				report(verb[0], call.Args[i])
			}
			i++
		}
		return true
	})
	return bad
}

// No error, help or output of the program shows a slice, a map or a struct as Go writes it.
func TestTextsShowNoGoValues(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f",
		"{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", "sluice")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports, own := map[string]string{}, [][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		exports[fields[0]] = fields[1]
		if (fields[0] == "sluice" || strings.HasPrefix(fields[0], "sluice/")) && len(fields) == 4 {
			own = append(own, fields)
		}
	}
	fset := token.NewFileSet()
	look := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	formats := 0
	for _, p := range own {
		var files []*ast.File
		for name := range strings.FieldsSeq(p[3]) {
			file, err := parser.ParseFile(fset, filepath.Join(p[2], name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
		if _, err := (&types.Config{Importer: look}).Check(p[0], fset, files, info); err != nil {
			t.Fatalf("%s: %v", p[0], err)
		}
		for _, file := range files {
			formats++
			for _, bad := range badFormats(info, fset, file) {
				t.Error(bad)
			}
		}
	}
	if formats < 300 {
		t.Errorf("looked into %d files only", formats)
	}
}
