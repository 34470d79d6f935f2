package cli

import (
	"path/filepath"

	"rpdb/apply"
	"rpdb/boot"
)

// makeLast keeps the file of the confirmed policy equal to it on a machine that
// is enabled, and says on another one that what was confirmed is gone after a
// boot. What is confirmed is in force either way, so that nothing here is an
// error.
func (s *site) makeLast(session *apply.Session) {
	root := filepath.Join("/", s.app.root)
	state := session.State()
	entry, ok := state.Confirmed()
	if !ok || state.Pending != nil || s.journal.Path() != filepath.Join(root, defaultStateDir) {
		return
	}
	body, err := s.journal.Body(entry)
	if err != nil || body.Policy == "" {
		return
	}
	tree, err := boot.OpenTree(root)
	if err != nil {
		return
	}
	defer tree.Close()
	if !tree.Enabled() {
		s.app.note("generation %d is gone after a boot, unless \"rpdb enable\" makes it last", entry.ID)
		return
	}
	switch current, err := tree.Update(boot.PolicyFile(body.Policy, "")); {
	case err != nil:
		s.app.note("%s is not generation %d: %v", boot.PolicyPath, entry.ID, err)
	case !current:
		s.app.note("%s is another policy than generation %d, which is what comes at boot", boot.PolicyPath, entry.ID)
	}
}
