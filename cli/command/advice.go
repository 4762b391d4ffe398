package command

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/rueidis"
	"github.com/segmentio/kafka-go"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Explain adds the remedy to an error, in a line of its own, if every such error has the same one.
func Explain(err error) error {
	if next := remedy(err); next != "" {
		return fmt.Errorf("%w\n%s", err, next)
	}
	return err
}

// explainInLine is Explain for reports, which have a line for each error.
func explainInLine(err error) error {
	if next := remedy(err); next != "" {
		return fmt.Errorf("%w. %s", err, next)
	}
	return err
}

func remedy(err error) string {
	for _, advice := range []func(error) string{adviceOnStock, adviceOnMySQL, adviceOnRedis, adviceOnReach} {
		if next := advice(err); next != "" {
			return next
		}
	}
	return ""
}

func adviceOnStock(err error) string {
	if errors.Is(err, redisstock.ErrVetting) {
		return "What MySQL and Kafka have is safe. sluice doctor says what to do"
	}
	if errors.Is(err, stock.ErrShut) {
		return "Redis does not have the data that were vetted. If it has lost them, sluice restore writes them anew from MySQL and Kafka. If it has them, start an edge: it compares them and opens Redis. sluice doctor says which"
	}
	return ""
}

func adviceOnMySQL(err error) string {
	switch db.Answer(err) {
	case db.AnswerAccessDenied:
		return "MySQL refuses the user or the password: correct SLUICE_MYSQL_DSN, or the file of --mysql-dsn-file"
	case db.AnswerNoDatabase:
		return "Create the database, let the user in, and run sluice migrate: CREATE DATABASE name; GRANT ALL ON name.* TO user"
	case db.AnswerDatabaseDenied, db.AnswerTableDenied, db.AnswerColumnDenied:
		return "Give the user of SLUICE_MYSQL_DSN the grants of its role again, as an upgrade can add some: sluice grants --role operator prints those of commands, --role migrate that of sluice migrate. See docs/security.md"
	case db.AnswerTooManyConnections, db.AnswerUserConnections, db.AnswerUserLimit:
		return "MySQL has as many connections as it may have: raise max_connections, or the user's limit, or lower --mysql-conns-max of edges and persisters"
	case db.AnswerPrepared:
		return "MySQL has as many prepared statements as it may have: raise max_prepared_stmt_count, or see whose they are"
	case db.AnswerReprepare:
		return "MySQL cannot hold the tables of a statement: raise table_definition_cache and table_open_cache above the number of tables"
	case db.AnswerNoTable, db.AnswerNoColumn:
		return "The schema is missing, or older than this program: run sluice migrate"
	}
	return ""
}

func adviceOnRedis(err error) string {
	var fault *rueidis.RedisError
	if !errors.As(err, &fault) {
		return ""
	}
	switch kind, _, _ := strings.Cut(fault.Error(), " "); kind {
	case "NOAUTH", "WRONGPASS":
		return "Redis refuses the user or the password: correct --redis-user, and SLUICE_REDIS_PASSWORD or the file of --redis-password-file"
	case "NOPERM":
		return "Let the user of --redis-user do this: ACL SETUSER name +@all ~*, as far as your rules allow"
	case "ERR":
		if strings.Contains(fault.Error(), "AUTH") {
			return "Redis has no password, and one is given: take SLUICE_REDIS_PASSWORD away, or set it in Redis"
		}
	}
	return ""
}

// settingOf names the setting that has the address of a server.
var settingOf = map[string]string{
	"Redis": "--redis-addr (SLUICE_REDIS_ADDR)",
	"MySQL": "SLUICE_MYSQL_DSN or --mysql-dsn-file",
	"Kafka": "--kafka-brokers (SLUICE_KAFKA_BROKERS)",
}

// adviceOnReach has the advice for servers that do not answer.
func adviceOnReach(err error) string {
	if !unanswered(err) {
		return ""
	}
	if server := new(config.ServerError); errors.As(err, &server) {
		return adviceOn(server.Server, err) + ". To try sluice out, sluice dev starts all servers"
	}
	return "A server does not answer: sluice doctor says which"
}

// adviceOn says what to do about a server that gave no answer, or none that helps. It suspects a wrong address only
// if nobody accepts connections there.
func adviceOn(server string, err error) string {
	var name *net.DNSError
	var network *net.OpError
	switch {
	case errors.As(err, &name):
		return "There is no host " + name.Name + ": correct the address of " + server + ": " + settingOf[server]
	case errors.As(err, &network) && network.Op == "dial" && network.Timeout():
		return "Nobody answers at the address of " + server + ": see whether its machine is up and lets you in, or correct it: " + settingOf[server]
	case errors.Is(err, io.EOF):
		return server + " closes connections at once: see its log. It may have as many clients as it may have (maxclients of Redis), or want TLS, or know nobody from here"
	case config.Silent(err):
		return server + " takes connections and answers nothing in time: see whether it is hung or overloaded, or restart it"
	}
	return "Start " + server + ", or correct its address: " + settingOf[server]
}

func unanswered(err error) bool {
	var network *net.OpError
	var name *net.DNSError
	return config.Silent(err) || errors.As(err, &network) && network.Op != "listen" || errors.As(err, &name) || errors.Is(err, io.EOF) ||
		errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, kafka.BrokerNotAvailable)
}

// inKafka names Kafka as the server of an error, unless the error names another one.
func inKafka(err error) error {
	if named := new(config.ServerError); err == nil || errors.As(err, &named) {
		return err
	}
	return &config.ServerError{Server: "Kafka", Err: err}
}
