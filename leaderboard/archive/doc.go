// Package archive stores the data of boards in PostgreSQL, and gives them back to a server that has lost its records.
//
// # What is promised
//
//   - A1. The members of a closed bucket are in the archive before the records cut or drop the bucket. While the
//     archive cannot be reached, the records grow, and nothing is lost: State.Age says for how long.
//   - A2. An open bucket is taken repeatedly, so that the loss of all records costs only what came after the last time.
//   - A3. A submission is in the archive once, however often it was taken, by however many instances, and wherever an
//     instance died.
//   - A4. Records may go back to an older state, as after a restore or a failover to a replica that lagged. Such
//     records take nothing away from the archive, and do not go unnoticed: what the archive has beyond the records is
//     merged into them.
//   - A5. Nobody sees a board of an empty server before its window is loaded. A repeated load has the same result.
//
// # How a bucket is taken
//
// In one transaction, by any instance at any time:
//
//	B1  INSERT INTO bucket … ON CONFLICT DO NOTHING; SELECT … FOR UPDATE
//	B2  mark := SELECT mark FROM board
//	B3  COPY the members, read page by page, to a table of the transaction
//	B4  Mark, with the mark of B2; if the mark of the records is less, they went back: ROLLBACK, and mend them
//	B5  merge the members: INSERT … ON CONFLICT DO UPDATE, which never replaces a better score by a worse one, nor
//	    a later by an earlier one
//	B6  bucket.closed, bucket.members, board.mark; COMMIT
//	B7  Archived, with the number of members that B3 has read: the records cut the bucket if they still hold that number
//
// Between B6 and B7 an instance may die. The next instance finds the bucket closed in the archive and owed in the
// records, and repeats B7 with the stored number. If the records hold another number, they are not the records that
// were taken, and the bucket is taken again.
//
// Why two instances at once are harmless. B5 has the same result in whichever order they commit: a later sum has a
// later time, and no two times of a board are equal. The lock of B1 makes the number of B6 that of the last reading; a
// wrong number costs another turn. A session lock would add nothing, and break behind a pooler. The advisory lock of
// the transaction is tried and never waited for, and only saves work.
//
// Why B4 is needed. B5 replaces a sum in the archive by a sum of the records if the latter is later. Records that went
// back hold sums that lack data in the archive. The mark of these records went back too. B2 comes before B4, so every
// mark that B2 can read was returned by Mark before B4. So B4 finds a mark at least as great, unless the records went
// back. The mark of B6 was taken after B3, so records that have this mark have what B3 read. One loss remains: an open
// bucket may get submissions after the records went back and before B4 notices. Of two sums the later one counts, and
// what it lacks is lost.
//
// # How records are mended
//
//   - Finding that records went back changes nothing. So the next instance finds it too, until the records are mended,
//     however often mending fails or an instance dies: the mark in the records is set last.
//   - Before the load, the mark in the archive is raised by fence, and its row is locked. Another instance may have a
//     mark of the records as they were, and not have committed yet. If that instance commits first, the load reads its
//     rows. Otherwise its transaction waits, and is refused: its mark is below by more than the number of marks that
//     can be returned meanwhile.
//   - Only an instance that has loaded all of an empty server has the boards shown. An instance that finds another one
//     loading leaves the route alone until the next look: mending one board says nothing of the others.
//   - A board that was given up, since its window was empty, has no mark when it is made again. Mending it loads
//     nothing.
//
// # How submissions are taken
//
// Each page of lines begins at the first line that the records still have, and not after the last line in the archive:
// ids may go back with the records. The key of a row consists of everything in the line (time, id, player, score), so
// that a line is there once. The records forget the lines after the commit, and only if the board's mark is not below
// the mark that was committed with the lines, and was not raised by a mend since.
package archive
