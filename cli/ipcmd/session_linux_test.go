package ipcmd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpdb/kernel/kerneltest"
)

// The files of testdata/session read like a terminal: a command behind a dollar
// sign, what it prints (standard output, then standard error), and its exit code
// in brackets unless it is 0. Empty lines stay where a text has them. Commands
// of ip are carried out in this process, whatever else a shell understands by a
// shell in which ip is this program. A command ends in a here-document where it
// says "<<EOF". Comments say what the commands show, and some do more:
//
//	# new host                 a new machine, as each file begins with
//	# needs user ids           rules of the file are about user ids
//	# since 6.15: WHY          older releases of ip do otherwise, as long as the machine lasts
//	# unlike ip: WHY           the next command is meant to do otherwise than that of ip
//	# unlike ip before 6.15: WHY  the same of older releases
//
// UPDATE_GOLDEN=1 rewrites the expected texts.
func TestSessions(t *testing.T) {
	system := systems(t).path
	eachSession(t, func(t *testing.T, file, want string) {
		s := &sessionRun{t: t, host: func() player { return &ourPlayer{newMachine(t, ""), system} }}
		got := s.replay(want)
		switch {
		case got == want:
		case os.Getenv("UPDATE_GOLDEN") != "":
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			reportSession(t, want, got)
		}
	})
}

// TestSessionsOfTheirs plays the same sessions with the ip of iproute2, which
// has to print the same but for what is marked.
func TestSessionsOfTheirs(t *testing.T) {
	with := theirs(t)
	eachSession(t, func(t *testing.T, _, want string) {
		s := &sessionRun{t: t, with: &with, host: func() player { return &theirPlayer{newMachine(t, with.path), with} }}
		got := s.replay(want)
		reportSession(t, s.comparable(want), s.comparable(got))
	})
}

func eachSession(t *testing.T, play func(t *testing.T, file, text string)) {
	files, err := filepath.Glob("testdata/session/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), "\n# needs user ids\n") {
				kerneltest.NeedUID(t, 2000)
			}
			play(t, file, string(data))
		})
	}
}

// player carries out the commands of a session on one machine.
type player interface {
	// ip carries out one command of ip.
	ip(env, args []string, stdin string) outcome
	// shell carries out any other line.
	shell(line, stdin string) outcome
	// start starts a monitor and returns what ends it and gives what it told.
	start(t *testing.T, args []string) (end func() string)
}

// sessionRun is a session that is being played.
type sessionRun struct {
	t      *testing.T
	with   *peer // whose session this is, nil for ours
	host   func() player
	player player
	jobs   []func() string // the monitors that run
	out    strings.Builder
}

// replay carries out the commands of a session and returns it with what they
// print.
func (s *sessionRun) replay(session string) string {
	lines := strings.Split(strings.TrimSuffix(session, "\n"), "\n")
	s.player = s.host()
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		if line == "# new host" {
			s.player = s.host()
		}
		if strings.HasPrefix(line, "#") {
			s.out.WriteString(line + "\n")
		}
		command, isCommand := strings.CutPrefix(line, "$ ")
		if !isCommand {
			continue
		}
		s.out.WriteString(line + "\n")
		stdin := ""
		if before, ok := strings.CutSuffix(command, " <<EOF"); ok {
			command = before
			for len(lines) > 0 && lines[0] != "EOF" {
				stdin += lines[0] + "\n"
				lines = lines[1:]
			}
			if len(lines) == 0 {
				s.t.Fatalf("%q has no end", line)
			}
			lines = lines[1:]
			s.out.WriteString(stdin + "EOF\n")
		}
		o := withoutTrap(s.play(command, stdin))
		fmt.Fprintf(&s.out, "%s%s", endLine(o.stdout), endLine(o.stderr))
		if o.code != 0 {
			fmt.Fprintf(&s.out, "[%d]\n", o.code)
		}
	}
	return s.out.String()
}

// play carries out one line.
func (s *sessionRun) play(line, stdin string) outcome {
	rest, background := strings.CutSuffix(line, " &")
	env, args, plain := plainCommand(rest)
	switch {
	case background && plain:
		s.jobs = append(s.jobs, s.player.start(s.t, args))
		return outcome{}
	case line == "kill %1" && len(s.jobs) > 0:
		end := s.jobs[0]
		s.jobs = s.jobs[1:]
		return outcome{stdout: end()}
	case plain:
		return s.player.ip(env, args, stdin)
	}
	return s.player.shell(line, stdin)
}

// plainCommand reads a line that is a command of ip and needs no shell: words,
// parts of which may stand in single quotes, and variables in front.
func plainCommand(line string) (env, args []string, ok bool) {
	var words []string
	word, inWord := "", false
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			word, inWord = word+part, true
			continue
		}
		if strings.ContainsAny(part, "<>|;&$\"*?\\()") {
			return nil, nil, false
		}
		for j, field := range strings.Split(part, " ") {
			if j > 0 && inWord {
				words, word, inWord = append(words, word), "", false
			}
			word, inWord = word+field, inWord || field != ""
		}
	}
	if inWord {
		words = append(words, word)
	}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		env, words = append(env, words[0]), words[1:]
	}
	if len(words) == 0 || words[0] != "ip" {
		return nil, nil, false
	}
	return env, words[1:], true
}

// endLine puts a newline behind a text that does not end in one.
func endLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// comparable leaves out of a session what a release is not to be compared in,
// and writes the rest as that release does.
func (s *sessionRun) comparable(session string) string {
	var b strings.Builder
	skipHost, skipNext := false, false
	for i, part := range strings.SplitAfter("\n"+session, "\n$ ") {
		command, _ := strings.CutSuffix(part, "$ ")
		if i > 0 && (skipHost || skipNext) {
			line, _, _ := strings.Cut(command, "\n")
			b.WriteString("\n$ " + line + " (not compared)\n")
		} else {
			b.WriteString("\n$ " + s.with.comparable(outcome{stdout: command}).stdout)
		}
		skipNext = false
		for line := range strings.Lines(command) {
			since, isSince := strings.CutPrefix(line, "# since ")
			before, isBefore := strings.CutPrefix(line, "# unlike ip before ")
			switch {
			case line == "# new host\n":
				skipHost = false
			case isSince:
				skipHost = s.with.before(s.release(since))
			case isBefore:
				skipNext = s.with.before(s.release(before))
			case strings.HasPrefix(line, "# unlike ip: "):
				skipNext = true
			}
		}
	}
	return b.String()
}

// release reads the release of a mark, and the colon behind it.
func (s *sessionRun) release(text string) (r release) {
	if _, err := fmt.Sscanf(text, "%d.%d:", &r.major, &r.minor); err != nil {
		s.t.Fatalf("%q: %v", text, err)
	}
	return r
}

// reportSession names the commands that print something else.
func reportSession(t *testing.T, want, got string) {
	t.Helper()
	wants, gots := strings.Split("\n"+want, "\n$ "), strings.Split("\n"+got, "\n$ ")
	for i := range min(len(wants), len(gots)) {
		if wants[i] != gots[i] {
			t.Errorf("$ %s\nprints\n$ %s", wants[i], gots[i])
		}
	}
	if len(wants) != len(gots) {
		t.Errorf("%d commands of %d", len(gots), len(wants))
	}
}
