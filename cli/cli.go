// Package cli is the command line: its commands, and how a run of the program begins and ends.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/cli/command"
	"sluice/cli/dev"
	"sluice/core/config"
	"sluice/core/telemetry"
)

// root is the command line.
type root struct {
	Log         config.Log          `embed:""`
	ShowVersion command.VersionFlag `name:"version" help:"Show the version and the sources of this program, and do nothing else."`

	Edge      command.Edge      `cmd:"" help:"Serve shoppers: decide their requests in Redis, publish the events."`
	Persister command.Persister `cmd:"" help:"Bring events from Kafka to MySQL."`
	Catalog   struct {
		Run     command.Catalog        `cmd:"" default:"withargs" help:"Serve the shop; catalog alone does the same."`
		Routes  command.CatalogRoutes  `cmd:"" help:"Show the operations of the shop, and who may call them."`
		Migrate command.CatalogMigrate `cmd:"" help:"Bring the tables of the shop up to date."`
		Grants  command.CatalogGrants  `cmd:"" help:"Print the SQL that gives the shop's MySQL account its rights."`
		Vault   struct {
			Keygen command.VaultKeygen `cmd:"" help:"Make the keys of personal values."`
			Rotate command.VaultRotate `cmd:"" help:"Add a key that wraps from a time on."`
			Rewrap command.VaultRewrap `cmd:"" help:"Wrap the keys of users with the key that wraps."`
			Drop   command.VaultDrop   `cmd:"" help:"Take a key away that has wrapped nothing any longer."`
			Status command.VaultStatus `cmd:"" help:"Show what each key does, and how much it has wrapped."`
		} `cmd:"" help:"Keep the keys of personal values."`
		Tasks struct {
			List   command.CatalogTaskList   `cmd:"" help:"List dead tasks."`
			Repeat command.CatalogTaskRepeat `cmd:"" help:"Try a dead task again."`
			Drop   command.CatalogTaskDrop   `cmd:"" help:"Delete a dead task."`
		} `cmd:"" help:"Look at work of the shop that failed too often, and decide about it."`
		Keys struct {
			Create command.CatalogKeysCreate `cmd:"" help:"Make the keys and the secret of the shop's accounts."`
			List   command.CatalogKeysList   `cmd:"" help:"List the keys that sign the tokens of shoppers."`
			Rotate command.CatalogKeysRotate `cmd:"" help:"Let the next key sign."`
		} `cmd:"" help:"Make, show and change the keys of the shop's accounts."`
	} `cmd:"" help:"Serve the shop behind the hot path."`
	Migrate command.Migrate `cmd:"" help:"Bring MySQL's schema and Kafka's topic up to date."`
	Grants  command.Grants  `cmd:"" help:"Print the SQL that gives MySQL accounts the rights of their roles."`
	Dev     dev.Command     `cmd:"" help:"Run everything on this machine, with sample data."`
	Seed    command.Seed    `cmd:"" help:"Fill the shop with the goods of a demo shop."`

	Stock struct {
		Load     command.StockLoad     `cmd:"" help:"Load SKUs from CSV or JSON lines."`
		List     command.StockList     `cmd:"" help:"List stock as MySQL has it."`
		Show     command.StockShow     `cmd:"" help:"Show stock in Redis and in MySQL."`
		Shut     command.StockShut     `cmd:"" help:"List the SKUs that are shut until somebody repairs them."`
		Adjust   command.StockAdjust   `cmd:"" help:"Change stock by a delta, or a SKU's settings."`
		Freeze   command.StockFreeze   `cmd:"" help:"Stop selling a SKU."`
		Unfreeze command.StockUnfreeze `cmd:"" help:"Sell a frozen SKU again."`
	} `cmd:"" help:"Load, show and change stock."`
	Reservation struct {
		List command.ReservationList `cmd:"" help:"List reservations as MySQL has them."`
		Show command.ReservationShow `cmd:"" help:"Show a reservation in Redis, in MySQL and in the ledger."`
	} `cmd:"" help:"Look at reservations."`
	Sale struct {
		Create   command.SaleCreate   `cmd:"" help:"Make a sale and give it its stock."`
		List     command.SaleList     `cmd:"" help:"List sales."`
		Show     command.SaleShow     `cmd:"" help:"Show a sale and its stock."`
		Open     command.SaleOpen     `cmd:"" help:"Open a sale, now or at a time."`
		Close    command.SaleClose    `cmd:"" help:"Close a sale, now or at a time."`
		Register command.SaleRegister `cmd:"" help:"Register users for a sale that is for registered users only."`
		Empty    command.SaleEmpty    `cmd:"" help:"Bring the unsold stock of a closed sale back."`
		Fill     command.SaleFill     `cmd:"" help:"Give a sale the stock that it lacks."`
	} `cmd:"" help:"Run sales."`
	Deadletter struct {
		List    command.DeadLetterList    `cmd:"" help:"List dead letters."`
		Show    command.DeadLetterShow    `cmd:"" help:"Show a dead letter and the events in it."`
		Resolve command.DeadLetterResolve `cmd:"" help:"Mark a dead letter as dealt with."`
		Replay  command.DeadLetterReplay  `cmd:"" help:"Apply a dead letter again."`
	} `cmd:"" help:"Look at events that could not be brought to MySQL, and decide about them."`
	Archive struct {
		Run    command.ArchiveRun    `cmd:"" default:"withargs" help:"Move old rows out of MySQL into files; archive alone does the same."`
		Show   command.ArchiveShow   `cmd:"" help:"Show the events in a file."`
		Verify command.ArchiveVerify `cmd:"" help:"Check files: checksums, counts, and that the events follow from each other."`
	} `cmd:"" help:"Move old events and reservations out of MySQL into files."`
	Token struct {
		Issue  command.Token       `cmd:"" default:"withargs" help:"Make an access token; token alone does the same."`
		Keygen command.TokenKeygen `cmd:"" help:"Make a key that signs and verifies tokens."`
	} `cmd:"" help:"Make access tokens and their keys."`
	Audit struct {
		Verify command.AuditVerify `cmd:"" help:"Check that the audit log is as it was written."`
		Search command.AuditSearch `cmd:"" help:"Find privileged acts: by who, what, on what, and when."`
		Export command.AuditExport `cmd:"" help:"Write the audit log to a file that anybody can verify."`
	} `cmd:"" help:"Look at the audit log of the shop."`
	Config struct {
		Print configPrint `cmd:"" help:"Show each setting's value, and where it is from."`
	} `cmd:"" help:"Look at settings."`
	Reconcile struct {
		Report  command.Reconcile        `cmd:"" default:"withargs" help:"Compare the stores now, and with --apply put right what differs; reconcile alone does the same."`
		History command.ReconcileHistory `cmd:"" help:"Show the findings of persisters."`
	} `cmd:"" help:"Compare Redis with ledger, projections, outbox and Kafka."`
	Bench struct {
		Run      command.Bench         `cmd:"" default:"withargs" help:"Send a crowd of shoppers to an edge; bench alone does the same."`
		Compare  command.BenchCompare  `cmd:"" help:"Sell in several ways, and compare them."`
		Page     command.BenchPage     `cmd:"" help:"Write the report of a load run as an HTML page."`
		Against  command.BenchAgainst  `cmd:"" help:"Compare the reports of two load runs."`
		Rehearse command.BenchRehearse `cmd:"" help:"Play a coming sale against a copy of its stock, and say at which rate it would break."`
		Part     command.BenchPart     `cmd:"" hidden:"" help:"Be a process that a benchmark needs."`
	} `cmd:"" help:"Send load, compare ways to sell, rehearse sales, and look at load runs."`
	Restore command.Restore `cmd:"" help:"Write a lost Redis anew from MySQL and Kafka."`

	Doctor  command.Doctor  `cmd:"" help:"Check Redis, MySQL, Kafka and the token keys."`
	Version command.Version `cmd:"" help:"Show the version and the sources of this program."`

	Completion    completion    `cmd:"" help:"Print a script that completes command lines, for bash, zsh or fish."`
	CompleteWords completeWords `cmd:"" hidden:"" help:"Complete the last of some words."`
}

const description = `A Redis-first flash-sale and inventory core.

Every setting is a flag and an environment variable (docs/configuration.md lists them); secrets come from the
environment or from files only. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused by the rules of
stock, 5 outcome unknown, 6 and 7 see reconcile and audit
verify, 10 to 12 see bench, 130 interrupted.`

// Run runs the command that args name and returns the program's exit code.
func Run(args []string, console *command.Console) int {
	ctx, stop := untilSignal()
	defer stop()

	var cli root
	config.LoadSecrets(&cli, os.LookupEnv)
	parser, err := newParser(&cli, console, os.Exit) //nolint:forbidigo // --help ends the program by it
	if err != nil {
		return report(console, err, command.ExitFailed)
	}
	k, err := parser.Parse(asFlag(args))
	if console.Written() != nil { // an error of writing what --help and --version print
		return report(console, err, command.ExitFailed)
	}
	if err != nil {
		return report(console, misused(err), command.ExitUsage)
	}
	log, err := telemetry.NewLogger(console.Err, cli.Log.Level, cli.Log.Format)
	if err != nil {
		return report(console, err, command.ExitUsage)
	}
	if target := k.Selected().Target; target.Type() != reflect.TypeFor[command.Doctor]() { // the command reports it with all other faults
		for _, file := range config.Exposed(target) {
			console.Notef("warning: %v: %s", file, file.Do())
		}
	}
	k.BindTo(ctx, (*context.Context)(nil))
	err = errors.Join(k.Run(log), console.Written())
	return report(console, err, command.ExitCode(ctx, err))
}

// untilSignal returns a context that ends with the signal that ends the program in order: SIGINT, SIGTERM, or SIGHUP
// unless it was ignored, as under nohup. A second SIGINT or SIGTERM ends the process at once. A second SIGHUP does
// not, because closing a terminal sends it twice.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next one has its usual effect
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, stop
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		select {
		case <-hangup:
			stop()
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		stop()
		signal.Stop(hangup)
	}
}

func newParser(cli *root, console *command.Console, exit func(int)) (*kong.Kong, error) {
	parser, err := kong.New(cli,
		kong.Name("sluice"), kong.Description(description), kong.Bind(console), kong.Exit(exit), command.Values(), command.Texts(),
		kong.Writers(console.Out, console.Err), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ExplicitGroups([]kong.Group{
			{Key: "Redis", Title: "Redis", Description: "A password comes from $SLUICE_REDIS_PASSWORD or a file."},
			{Key: "MySQL", Title: "MySQL", Description: "The database comes from $SLUICE_MYSQL_DSN or a file."},
		}))
	if err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	return parser, nil
}

// asFlag accepts help in front of a command for --help behind it.
func asFlag(args []string) []string {
	if len(args) == 0 || args[0] != "help" {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// misused returns an error of the command line that says where to read the right form.
func misused(err error) error {
	parse := new(kong.ParseError)
	if !errors.As(err, &parse) || parse.Context == nil {
		return err
	}
	at := parse.Context.Model.Node
	for _, step := range parse.Context.Path {
		if step.Command != nil {
			at = step.Command
		}
	}
	if len(at.Children) > 0 && strings.HasPrefix(err.Error(), "expected one of") { // kong names the first five
		var names []string
		for _, child := range at.Children {
			if !child.Hidden {
				names = append(names, child.Name)
			}
		}
		err = fmt.Errorf("want a command: %s", strings.Join(names, ", "))
	}
	if at.DefaultCmd != nil { // it has the flags
		at = at.DefaultCmd
	}
	return fmt.Errorf("%w\nsee %s --help", err, at.FullPath())
}

func report(console *command.Console, err error, code int) int {
	if err != nil {
		for line := range strings.Lines(command.Explain(err).Error()) {
			console.Notef("sluice: %s", strings.TrimSuffix(line, "\n"))
		}
	}
	return code
}
