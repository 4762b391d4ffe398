package db

import (
	"errors"

	"github.com/go-sql-driver/mysql"
)

// The numbers of the errors of MySQL and MariaDB, each with the name that their manuals give it. The driver names
// none of them.
const (
	AnswerCannotWrite        uint16 = 3    // EE_WRITE
	AnswerNoSpace            uint16 = 28   // ENOSPC, of the server's system
	AnswerChanged            uint16 = 1020 // ER_CHECKREAD: MariaDB's answer, under innodb_snapshot_isolation, that another transaction was first
	AnswerDiskFull           uint16 = 1021 // ER_DISK_FULL
	AnswerEngine             uint16 = 1030 // ER_GET_ERRNO: the storage engine has an error of the system
	AnswerTooManyConnections uint16 = 1040 // ER_CON_COUNT_ERROR
	AnswerOutOfResources     uint16 = 1041 // ER_OUT_OF_RESOURCES
	AnswerDatabaseDenied     uint16 = 1044 // ER_DBACCESS_DENIED_ERROR
	AnswerAccessDenied       uint16 = 1045 // ER_ACCESS_DENIED_ERROR
	AnswerNull               uint16 = 1048 // ER_BAD_NULL_ERROR
	AnswerNoDatabase         uint16 = 1049 // ER_BAD_DB_ERROR
	AnswerShutdown           uint16 = 1053 // ER_SERVER_SHUTDOWN
	AnswerNoColumn           uint16 = 1054 // ER_BAD_FIELD_ERROR
	AnswerDuplicate          uint16 = 1062 // ER_DUP_ENTRY
	AnswerUnknown            uint16 = 1105 // ER_UNKNOWN_ERROR: only its text says which error it is
	AnswerTableFull          uint16 = 1114 // ER_RECORD_FILE_FULL
	AnswerTableDenied        uint16 = 1142 // ER_TABLEACCESS_DENIED_ERROR
	AnswerColumnDenied       uint16 = 1143 // ER_COLUMNACCESS_DENIED_ERROR
	AnswerNoTable            uint16 = 1146 // ER_NO_SUCH_TABLE
	AnswerPacket             uint16 = 1153 // ER_NET_PACKET_TOO_LARGE
	AnswerUserConnections    uint16 = 1203 // ER_TOO_MANY_USER_CONNECTIONS
	AnswerLockTimeout        uint16 = 1205 // ER_LOCK_WAIT_TIMEOUT
	AnswerDeadlock           uint16 = 1213 // ER_LOCK_DEADLOCK
	AnswerUserLimit          uint16 = 1226 // ER_USER_LIMIT_REACHED
	AnswerNoStatement        uint16 = 1243 // ER_UNKNOWN_STMT_HANDLER: a proxy has lost the prepared statement
	AnswerOutOfRange         uint16 = 1264 // ER_WARN_DATA_OUT_OF_RANGE
	AnswerTruncated          uint16 = 1265 // WARN_DATA_TRUNCATED
	AnswerOption             uint16 = 1290 // ER_OPTION_PREVENTS_STATEMENT: read_only is one
	AnswerWrongValue         uint16 = 1292 // ER_TRUNCATED_WRONG_VALUE
	AnswerInterrupted        uint16 = 1317 // ER_QUERY_INTERRUPTED
	AnswerWrongFieldValue    uint16 = 1366 // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
	AnswerTooLong            uint16 = 1406 // ER_DATA_TOO_LONG
	AnswerReferenced         uint16 = 1451 // ER_ROW_IS_REFERENCED_2: a foreign key refers to the row
	AnswerNoReference        uint16 = 1452 // ER_NO_REFERENCED_ROW_2: a foreign key refers to no row
	AnswerPrepared           uint16 = 1461 // ER_MAX_PREPARED_STMT_COUNT_REACHED
	AnswerReprepare          uint16 = 1615 // ER_NEED_REPREPARE: the tables of the statement leave table_definition_cache again and again
	AnswerResultRange        uint16 = 1690 // ER_DATA_OUT_OF_RANGE
	AnswerNoPassword         uint16 = 1698 // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
	AnswerReadOnlySession    uint16 = 1792 // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
	AnswerReadOnlyMode       uint16 = 1836 // ER_READ_ONLY_MODE
	AnswerKilled             uint16 = 1927 // ER_CONNECTION_KILLED, of MariaDB
	AnswerStatementTimeout   uint16 = 1969 // ER_STATEMENT_TIMEOUT, of MariaDB
	AnswerQueryTimeout       uint16 = 3024 // ER_QUERY_TIMEOUT, of MySQL
	AnswerLocked             uint16 = 3572 // ER_LOCK_NOWAIT, of MySQL; MariaDB answers 1205
	AnswerCheck              uint16 = 3819 // ER_CHECK_CONSTRAINT_VIOLATED, of MySQL
	AnswerConstraint         uint16 = 4025 // ER_CONSTRAINT_FAILED, of MariaDB
)

// Answer returns the number of the error with which a server answered, or 0 if err is not an answer of a server.
func Answer(err error) uint16 {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return 0
	}
	return answer.Number
}
