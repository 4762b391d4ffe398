package web

import (
	"testing"

	"sluice/core/auth"
)

func TestScopesNarrowServices(t *testing.T) {
	t.Parallel()
	may := Permission{Roles: RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeUsersRead}
	f := func(role auth.Role, words []string, want string) {
		t.Helper()
		scopes, err := auth.ParseScopes(words...)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := may.refuse(auth.Identity{Subject: 7, Role: role, Scopes: scopes}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%v with %q: %q, want %q", role, words, got, want)
		}
	}
	const narrowed = "forbidden: the token is narrowed to other scopes than users:read"
	f(auth.RoleService, nil, "")
	f(auth.RoleService, []string{"users:read"}, "")
	f(auth.RoleService, []string{"stock:write", "users:read"}, "")
	f(auth.RoleService, []string{"users:write"}, narrowed)
	f(auth.RoleService, []string{"stock:read", "stock:write", "users:write"}, narrowed)
	f(auth.RoleAdmin, nil, "")
	f(auth.RoleShopper, nil, "forbidden: ")
	f(auth.RoleNone, nil, "forbidden: ")
}

// BenchmarkPermission has what it costs to decide whether the bearer of a verified token may call an operation.
//
//	go test -run '^$' -bench BenchmarkPermission ./catalog/internal/web
func BenchmarkPermission(b *testing.B) {
	all := Permissions{}
	for _, name := range []string{"ShowMe", "ShowUser", "MakeUser", "ListAudit"} {
		all[name] = Permission{Roles: RolesOf(auth.RoleService, auth.RoleAdmin), Scope: auth.ScopeUsersRead}
	}
	scopes, err := auth.ParseScopes("stock:write", "users:read")
	if err != nil {
		b.Fatal(err)
	}
	who := auth.Identity{Subject: 7, Role: auth.RoleService, Scopes: scopes}
	b.ReportAllocs()
	for b.Loop() {
		if err := all["ShowUser"].refuse(who); err != nil {
			b.Fatal(err)
		}
	}
}
