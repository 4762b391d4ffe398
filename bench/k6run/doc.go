// Package k6run runs the scripts of k6/ where there is no k6: in continuous integration, and in tests. It is a stand-in, not
// a k6. It has the few modules, functions, options and executors that those scripts use, in the meaning that k6's public
// documentation gives them, and refuses all others by name.
//
// Every virtual user has a runtime of its own, as in k6. esbuild makes one script of the files, goja runs it. Requests go to
// this machine only.
package k6run
