// Package archive keeps in PostgreSQL what boards are made of, and gives it back to a server that has lost its records.
//
// # What is promised
//
//   - A1. What a closed bucket held is in the archive before it is cut in the records, or leaves them. While the archive cannot be
//     reached the records grow, and nothing is lost: age says for how long that is so.
//   - A2. An open bucket is taken again and again, so that the loss of all records costs no more than what came after it was taken last.
//   - A3. A submission is in the archive once, however often it was taken, by however many instances, and wherever one of them died.
//   - A4. Records that went back to an older state, as a restored server or a replica that lagged has them, neither take from the archive
//     nor go unnoticed: what the archive has beyond them is merged into them.
//   - A5. Nobody sees a board of an empty server: its window is read back before that, and the same after any repetition.
//
// # How a bucket is taken
//
// In one transaction, by any instance at any time:
//
//	B1  INSERT INTO bucket … ON CONFLICT DO NOTHING; SELECT … FOR UPDATE
//	B2  mark := SELECT mark FROM board
//	B3  the members are read, page by page, into COPY to a table of the transaction
//	B4  Mark, against that of B2; where the records have a lesser one they went back: ROLLBACK, and they are mended
//	B5  the members are merged: INSERT … ON CONFLICT DO UPDATE, which never takes a better score for a worse one, nor a later for an earlier
//	B6  bucket.closed, bucket.members, board.mark; COMMIT
//	B7  Archived, with as many members as B3 has read: the records cut the bucket if they still hold so many
//
// Between B6 and B7 an instance may die. The next one finds the bucket closed in the archive and owed in the records, and does B7 again with
// the number that is written down. If the records hold another they are not those that were taken, and the bucket is taken once more.
//
// Why two at once are harmless: B5 comes to the same in whichever order they commit, since a later sum has a later time, and no two of a board
// are the same. B1 has the number of B6 be that of what was read last; the wrong one costs another turn. A lock of the session would do no
// more, and break behind a pooler; the advisory lock of the transaction, which is tried and never waited for, only saves work.
//
// Why B4 is needed: B5 writes down a sum of the records for one of the archive if it is later. Records that went back hold sums that lack
// what the archive has. Their mark went back too, and B2 was read before B4: every mark that B2 can find was given before, so that B4 finds
// one as great unless the records went back. The mark of B6 was taken after B3: records that have it have what was read. Of a sum in a bucket
// that was open when the records went back, and to which something came before that was found, the later one counts: what it lacks is gone.
//
// # How records are mended
//
//   - Finding that records went back changes nothing. So whoever finds it next finds it too, until they are mended, however often that fails or
//     whoever of those at it dies: the mark in the records is set on last.
//   - Before anything is read back the mark in the archive is set on by far (fence), and its row locked. Somebody may have got a mark of the records
//     as they were, and not have committed yet. If that comes first, its rows are read back; else it waits, and is refused, since its mark
//     is below by more than all that can be given meanwhile.
//   - Only an instance that has read back all of an empty server has the boards shown. Who finds another one at it does nothing with the route
//     until the next look: mending one board says nothing of the others.
//   - A board that was given up, since its window was empty, has no mark when it is made again. It is mended with nothing.
//
// # How submissions are taken
//
// Lines are read from the first that the records still have, not after the last that the archive has: ids may go back with the records.
// A line is told from others by all that it says (time, id, player, score), which is the key of its row, so that it is there once. They are
// forgotten in the records after the commit, and only if the board's mark is not below the one that was committed with them, nor was set on since.
package archive
