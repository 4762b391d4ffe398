// Package local starts and stops private servers on loopback: redis-server
// (single, replica, cluster), mariadbd, an embedded Kafka-protocol broker and a
// real Apache Kafka. `sluice dev` and the tests use it.
//
// Every server keeps its files below the directory that the caller gives it,
// and takes a directory it used before with all the data in it. Servers have no
// passwords and listen on 127.0.0.1 only: they are for a developer's machine,
// not for production.
//
// A server never outlives the process that started it, even when that process
// is killed (on Linux; elsewhere only an orderly Stop ends it).
package local
